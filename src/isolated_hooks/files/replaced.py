"""A file that we write at the end of a command, in a directory that hooks may write to."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from types import TracebackType

from ..errors import PolicyError, UntrustedResultError
from ..text import visible
from .aside import aside, sweep_aside
from .paths import RealFilesystem, is_within, resolve
from .pinned import Pinned
from .spelling import absolute

__all__ = ["ReplacedFile"]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME = b"file"


class ReplacedFile:
    """A file to write as a whole, as a context manager that holds its directory open.

    We check at once that it can be written. A link in its place is replaced and not followed.

    :param path: where it will be
    :param label: the option that names it
    :param trees: the trees that hooks may write to: no link in them may lead to it
    :raises PolicyError: it cannot be written there
    """

    def __init__(self, path: str, label: str, trees: Iterable[str] = ()) -> None:
        self._path, self._label = path, label
        parent, name = os.path.split(absolute(path))
        if not path or path.endswith("/") or name in ("", ".", ".."):
            raise self._refusal("expected the path of a file in an existing directory")
        self._name = os.fsencode(name)
        _, links = resolve(RealFilesystem(), parent)
        if link := next((at for at in links for tree in trees if is_within(at, os.path.realpath(tree))), None):
            raise self._refusal(f"the link {visible(link, limit=300)!r} in the source tree leads there")
        try:
            os.stat(parent)
            self._directory = Pinned(parent)
        except OSError as error:
            raise self._refusal(error.strerror or "", error) from error
        try:
            self._check()
        except BaseException:
            self._directory.__exit__(None, None, None)
            raise

    def _check(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(self._name, dir_fd=self._directory.fd, follow_symlinks=False).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                raise self._refusal("expected the path of a file")
        sweep_aside(self._directory.fd)
        try:
            with aside(self._directory.fd) as hidden:
                os.close(os.open(_NAME, _NEW, 0o666, dir_fd=hidden))
        except OSError as error:
            raise self._refusal(error.strerror or "", error) from error

    def _refusal(self, problem: str, error: OSError | None = None) -> PolicyError:
        what = f"cannot be written: {problem}" if error else f"cannot be written ({problem})"
        return PolicyError(
            f"{self._label}: {visible(self._path, limit=300)!r} {what}. Remedy: name a file in a directory that you "
            "may write to"
        )

    def write(self, data: bytes) -> None:
        """Put the file into its place, complete or not at all. Call it when no hook runs.

        :raises UntrustedResultError: a hook has moved the directory
        :raises OSError: it could not be written
        """
        self._directory.check()
        with aside(self._directory.fd) as hidden:
            with open(os.open(_NAME, _NEW, 0o666, dir_fd=hidden), "wb") as file:
                file.write(data)
                file.flush()
                ours = os.fstat(file.fileno())
            os.rename(_NAME, self._name, src_dir_fd=hidden, dst_dir_fd=self._directory.fd)
        if not os.path.samestat(ours, os.lstat(os.path.join(self._directory.path, os.fsdecode(self._name)))):
            raise UntrustedResultError("a hook must not move a directory that the frontend uses", self._directory.path)

    def __enter__(self) -> ReplacedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._directory.__exit__(kind, error, traceback)
