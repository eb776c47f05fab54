"""Tells builds in any process of this machine to end: a FIFO, of which each build holds one end.

Its name is the permit to begin: without it, no further build begins. One byte in it asks those that run to end, and a
second one, or the end of the process that made it, has them ended at once. Nobody reads the bytes, so all see them.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import termios
from types import TracebackType

from .forked import close_in_forks

__all__ = ["END", "STOP", "Permit", "Watch"]

#: The answers of :meth:`Watch.asked`: end soon, and end at once.
STOP, END = 1, 2


class Permit:
    """The permit of the builds of one batch, as a context manager.

    :param directory: a private directory in which no other permit is
    :ivar path: the path for :class:`Watch`
    """

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "permit")
        os.mkfifo(self.path, 0o600)
        # Read-write, because opening a FIFO for writing alone waits for its reader, fifo(7).
        self._fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        close_in_forks(self)  # a copy would hide our end

    def let_none_begin(self) -> None:
        """Let no further build begin."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def press(self) -> None:
        """Ask all builds to end; the second time, at once."""
        os.write(self._fd, b"!")

    def close(self) -> None:
        """Close our end."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    close_copy = close

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Watch:
    """A build's end of a permit, as a context manager.

    :raises FileNotFoundError: no further build may begin
    """

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def asked(self) -> int:
        """Return 0, :data:`STOP` or :data:`END`."""
        for _, event in self._poll.poll(0):
            if event & select.POLLHUP:
                return END
        count = array.array("i", [0])
        fcntl.ioctl(self.fd, termios.FIONREAD, count)
        return min(count[0], END)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self.fd)
