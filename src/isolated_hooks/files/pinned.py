"""Directories that stay the ones that they were before the first hook, although a hook may exchange their names."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType

from ..errors import UntrustedResultError
from ..text import visible
from .trees import remove_tree

__all__ = ["Pinned"]

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Pinned:
    """A directory, held open as a context manager. We make it if it does not exist.

    :ivar path: its path, real at that moment
    :ivar fd: its descriptor
    :raises OSError: we cannot make or open it
    """

    def __init__(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)
        self.path = os.path.realpath(path)
        self.fd = os.open(self.path, _FLAGS)

    @property
    def here(self) -> str:
        """A path for this process, and those of this user outside any sandbox, that leads to this very directory."""
        return f"/proc/{os.readlink('/proc/self')}/fd/{self.fd}"

    def check(self) -> None:
        """Check that the path still leads to this directory, without a link on the way.

        :raises UntrustedResultError: it leads elsewhere
        """
        held = os.fstat(self.fd)
        with contextlib.suppress(OSError):
            now = os.stat(self.path)
            if (now.st_dev, now.st_ino) == (held.st_dev, held.st_ino) and os.path.realpath(self.path) == self.path:
                return
        raise UntrustedResultError(
            "a hook must not move a directory that the frontend uses, or put a link in its place", visible(self.path)
        )

    def remove(self) -> None:
        """Remove the directory, if its path still leads to it; otherwise remove what it holds.

        :raises OSError: something could not be removed; everything else was
        """
        for name in os.listdir(self.fd):
            remove_tree(self.fd, name)
        with contextlib.suppress(UntrustedResultError):
            self.check()
            os.rmdir(self.path)

    def __enter__(self) -> Pinned:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self.fd)
