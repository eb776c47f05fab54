"""The caller's output directory: we open it before the hook runs, and use its descriptor after that."""

from __future__ import annotations

import contextlib
import os
from errno import EACCES
from types import TracebackType

from ..errors import UntrustedResultError
from ..files.aside import sweep_aside
from ..files.paths import RealFilesystem, is_within, resolve

__all__ = ["OutputDirectory"]

_LINK = "a link within the source tree leads to the output directory; choose a directory outside of the source tree"
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OutputDirectory:
    """An output directory. We make it if it does not exist; as a context manager, the object closes it at the end.

    Within the source tree we follow no link on the way to it, because an earlier hook may have made the link. Once the
    directory is open, a hook that moves it away changes nothing.

    :ivar fd: its descriptor
    :raises UntrustedResultError: a link within the source tree leads to it
    :raises OSError: we cannot make or open it, or may not write to it
    """

    def __init__(self, path: str, source: str) -> None:
        self._path = path
        self._made: list[str] = []
        os.stat(source)
        start, parts = _trusted_start(path, os.path.realpath(source))
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


def _trusted_start(path: str, source: str) -> tuple[str, list[str]]:
    """Return where to start, and the names to follow from there: the real source tree if ``path`` leads into it.

    :raises UntrustedResultError: a link within the source tree is on the way
    """
    existing = path
    missing: list[str] = []
    while (resolved := resolve(RealFilesystem(), existing))[0] is None and existing != "/":
        existing, name = os.path.split(existing)
        missing.insert(0, name)
    real, links = resolved
    if any(is_within(link, source) for link in links):
        raise UntrustedResultError(_LINK, path)
    if real is not None and is_within(real, source):
        return source, [part for part in (*os.path.relpath(real, source).split("/"), *missing) if part != "."]
    return "/", [part for part in path.split("/") if part]
