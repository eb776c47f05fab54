"""The hook's stdout and stderr: never the caller's own open files.

Through a descriptor of a terminal what is typed there can be read and its mode changed; through one of a log file
its earlier lines can be read and cut off. So where the caller gave anything but a pipe, the hook gets a pipe, or for a
terminal a pseudo-terminal, and the launcher copies from it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import termios

_BLOCK = 65536
_S_IFMT, _S_IFIFO = 0o170000, 0o010000


class Streams:
    """What stands between descriptors 1 and 2 of the hook and those of the launcher.

    :ivar sources: descriptors to read from, each with the descriptor of the caller to write to
    """

    def __init__(self) -> None:
        self.sources: dict[int, int] = {}
        self._given: dict[int, int] = {}
        made: dict[tuple[int, int], int] = {}
        for fd in (1, 2):
            try:
                status = os.fstat(fd)
            except OSError:
                continue  # closed: there is nothing to be protected
            if status.st_mode & _S_IFMT == _S_IFIFO or _is_null(status):
                continue
            # What goes to the same place goes through the same channel, and stays in its order.
            place = (status.st_dev, status.st_ino)
            if place not in made:
                source, made[place] = _terminal(fd) if os.isatty(fd) else os.pipe()
                self.sources[source] = fd
            self._given[fd] = made[place]

    def take(self) -> None:
        """Make them descriptors 1 and 2. For pid 1, after the fork."""
        for fd, given in self._given.items():
            os.dup2(given, fd, inheritable=True)
        self.release()
        for source in self.sources:
            os.close(source)

    def release(self) -> None:
        """Close the hook's ends. For the launcher, after the fork."""
        for given in set(self._given.values()):
            os.close(given)

    def copy(self, source: int) -> bool:
        """Copy what there is to read from one source. Return ``False`` at its end."""
        try:
            data = os.read(source, _BLOCK)
        except OSError as error:
            if error.errno != errno.EIO:  # the last process has closed the other end of the terminal, pty(7)
                raise
            data = b""
        if not data:
            del self.sources[source]
            os.close(source)
            return False
        _write(self.sources[source], data)
        return True


def _write(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            os.set_blocking(fd, True)
        except OSError:
            return  # nobody reads any more; the hook goes on as with a broken pipe that it ignores


def _terminal(like: int) -> tuple[int, int]:
    """Return a pseudo-terminal of the size of another one, which passes on what is written as it is."""
    ours, theirs = os.openpty()
    mode = termios.tcgetattr(theirs)
    mode[1] &= ~termios.OPOST  # the caller's terminal does that
    termios.tcsetattr(theirs, termios.TCSANOW, mode)
    size = fcntl.ioctl(like, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    return ours, theirs


def _is_null(status: os.stat_result) -> bool:
    return status.st_rdev == os.makedev(1, 3) and status.st_mode & _S_IFMT == 0o020000


def descriptors(streams: Streams | None) -> tuple[int, ...]:
    """Return the sources of streams that there may be."""
    return tuple(streams.sources) if streams is not None else ()
