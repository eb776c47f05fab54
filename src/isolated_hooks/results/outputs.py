"""The caller's output directory: we open it before the hook runs, and use its descriptor after that."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from errno import EACCES
from types import TracebackType

from ..errors import UntrustedResultError
from ..files.aside import sweep_aside
from ..files.paths import RealFilesystem, is_within, resolve
from ..files.trees import remove_tree
from .exported import remember

__all__ = ["OutputDirectory"]

_LINK = "a link within the source tree leads to the output directory; choose a directory outside of the source tree"
_MOVED = "a hook must not move the output directory or what it holds; choose a directory outside of the source tree"
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OutputDirectory:
    """An output directory. We make it if it does not exist; as a context manager, the object closes it at the end.

    Within the source tree, and within the paths that the policy makes writable, we follow no link on the way to it,
    because an earlier hook may have made the link. Once the directory is open, a hook that moves it away does not
    change where we write. The frontend opens it by its path again, so :meth:`keep` checks that the path still leads
    to it.

    :ivar fd: its descriptor
    :param source: the source tree
    :param writable: further paths that hooks may write to
    :raises UntrustedResultError: a link within the source tree leads to it
    :raises OSError: we cannot make or open it, or may not write to it
    """

    def __init__(self, path: str, source: str, writable: Iterable[str] = ()) -> None:
        self._path = path
        self._made: list[str] = []
        os.stat(source)
        self._trees = tuple(map(os.path.realpath, (source, *writable)))
        start, parts = _trusted_start(path, self._trees)
        inside = start != "/"
        fd = os.open(start, _FLAGS)
        here = start
        try:
            for part in parts:
                here = os.path.join(here, part)
                fd = self._step(fd, part, here, follow=not inside)
        except BaseException:
            os.close(fd)
            self.remove_if_made()
            raise
        # We check this before the hook runs, to name the path in the error: later we make files by descriptor.
        if not os.access(f"/proc/self/fd/{fd}", os.W_OK | os.X_OK):
            os.close(fd)
            raise PermissionError(EACCES, os.strerror(EACCES), path)
        self.fd = fd
        sweep_aside(fd)

    def _step(self, parent: int, name: str, path: str, *, follow: bool) -> int:
        flags = _FLAGS | (0 if follow else os.O_NOFOLLOW)
        try:
            fd = os.open(name, flags, dir_fd=parent)
        except FileNotFoundError:
            os.mkdir(name, dir_fd=parent)
            self._made.append(path)
            fd = os.open(name, flags, dir_fd=parent)
        except OSError:
            if not follow and os.path.islink(path):
                raise UntrustedResultError(_LINK, path) from None
            raise
        os.close(parent)
        return fd

    def check(self) -> None:
        """Check that the path of the directory leads to it, as before the hook, without a link that a hook made.

        Call it when every process of the sandbox is dead.

        :raises UntrustedResultError: it leads elsewhere, or nowhere
        """
        _trusted_start(self._path, self._trees)
        try:
            same = os.path.samestat(os.stat(self._path), os.fstat(self.fd))
        except OSError:
            same = False
        if not same:
            raise UntrustedResultError(_MOVED, self._path)

    def keep(self, names: Sequence[str]) -> None:
        """Check that the path of each exported entry leads to what we exported, and keep it from later hooks.

        :param names: the names in the directory
        :raises UntrustedResultError: a path leads elsewhere. Then we remove what we exported.
        """
        try:
            self.check()
            for name in names:
                ours = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
                if not os.path.samestat(ours, os.lstat(os.path.join(self._path, name))):
                    raise UntrustedResultError(_MOVED, name)
        except (OSError, UntrustedResultError) as error:
            for name in names:
                with contextlib.suppress(OSError):
                    remove_tree(self.fd, name)
            if isinstance(error, OSError):
                raise UntrustedResultError(_MOVED, self._path) from error
            raise
        remember(os.path.realpath(self._path), names)

    def remove_if_made(self) -> None:
        """Remove the directories that we made for it, if they are still empty."""
        for path in reversed(self._made):
            with contextlib.suppress(OSError):
                os.rmdir(path)

    def __enter__(self) -> OutputDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self.fd)
        if kind is not None:
            self.remove_if_made()


def _trusted_start(path: str, trees: Sequence[str]) -> tuple[str, list[str]]:
    """Return where to start, and the names to follow from there.

    If ``path`` leads into trees that hooks may write to, that is the outermost of them.

    :param trees: the real paths of these trees
    :raises UntrustedResultError: a link within such a tree is on the way
    """
    existing = path
    missing: list[str] = []
    while (resolved := resolve(RealFilesystem(), existing))[0] is None and existing != "/":
        existing, name = os.path.split(existing)
        missing.insert(0, name)
    real, links = resolved
    if any(is_within(link, tree) for link in links for tree in trees):
        raise UntrustedResultError(_LINK, path)
    around = [tree for tree in trees if real is not None and is_within(real, tree)]
    if real is not None and around:
        start = min(around, key=len)
        return start, [part for part in (*os.path.relpath(real, start).split("/"), *missing) if part != "."]
    return "/", [part for part in path.split("/") if part]
