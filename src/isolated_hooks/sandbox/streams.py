"""The hook's stdout and stderr: never the caller's own open files.

Through a descriptor of a terminal what is typed there can be read and its mode changed; through one of a log file
its earlier lines can be read and cut off. So the hook gets a pipe, or for a terminal a pseudo-terminal, and the
launcher copies from it. That is also how it sees that a hook says too much, or nothing for too long.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios

# What a pipe takes without a wait when poll(2) says that it can be written to: PIPE_BUF, pipe(7).
_BLOCK = 4096
# Four times what a pipe holds by default.
_WIDE = 4 * 65536
if False:
    from collections.abc import Iterator, Mapping


class Streams:
    """What stands between descriptors 1 and 2 of the hook and those of the launcher.

    :ivar sources: descriptors to read from, each with the descriptor of the caller to write to
    :ivar moved: how many bytes were read so far
    """

    def __init__(self, fds: tuple[int, ...] = (1, 2)) -> None:
        self.sources: dict[int, int] = {}
        self.moved = 0
        self._read: dict[int, bytes] = {}
        self._given: dict[int, int] = {}
        made: dict[tuple[int, int], int] = {}
        for fd in fds:
            try:
                status = os.fstat(fd)
            except OSError:
                continue  # closed: there is nothing to be protected
            # What goes to the same place goes through the same channel, and stays in its order.
            place = (status.st_dev, status.st_ino)
            if place not in made:
                source, made[place] = _terminal(fd) if os.isatty(fd) else os.pipe()
                self.sources[source] = fd
            self._given[fd] = made[place]

    @classmethod
    def none(cls) -> Streams:
        """Return streams with nothing to copy."""
        return cls(())

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

    def interests(self) -> Iterator[tuple[int, int]]:
        """Yield what to wait for, as poll(2) takes it: something to read, or for what was read a place to write it.

        Never more is read than can be passed on, so the launcher is not held up by a caller that does not read.
        """
        for source, target in self.sources.items():
            yield (target, select.POLLOUT) if source in self._read else (source, select.POLLIN)

    def is_waiting(self) -> bool:
        """Say whether something is still to be taken by the caller."""
        return bool(self._read)

    def move(self, events: Mapping[int, int]) -> bool:
        """Copy what can be copied, and say whether anything was read."""
        before = self.moved
        for source, target in tuple(self.sources.items()):
            if source in self._read:
                if target in events:
                    self._pass_on(source, target)
            elif source in events:
                self._take_in(source)
        return self.moved > before

    def widen(self) -> None:
        """Have pipes of the caller hold more, pipe(7), where nobody reads them before the hook has ended.

        A pipe holds pages, and what arrives in other portions than it was written in fills them less well.
        """
        for target in self.sources.values():
            try:
                fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, _WIDE)
            except OSError:
                continue  # not a pipe, or the user has too many pages in pipes: then it has to be read

    def close(self) -> None:
        """Copy no more."""
        for source in tuple(self.sources):
            self._drop(source)

    def _take_in(self, source: int) -> None:
        try:
            data = os.read(source, _BLOCK)
        except OSError as error:
            if error.errno != errno.EIO:  # the last process has closed the other end of the terminal, pty(7)
                raise
            data = b""
        if data:
            self.moved += len(data)
            self._read[source] = data
        else:
            self._drop(source)

    def _pass_on(self, source: int, target: int) -> None:
        data = self._read.pop(source)
        try:
            left = data[os.write(target, data) :]
        except BlockingIOError:
            left = data
        except BrokenPipeError:
            # Nobody reads any more: the hook is to find out as it would have without us, by SIGPIPE.
            self._drop(source)
            return
        except OSError:
            return  # a full disk, a terminal that is gone: the hook goes on without
        if left:
            self._read[source] = left

    def _drop(self, source: int) -> None:
        self._read.pop(source, None)
        del self.sources[source]
        os.close(source)


def _terminal(like: int) -> tuple[int, int]:
    """Return a pseudo-terminal of the size of another one, which passes on what is written as it is."""
    ours, theirs = os.openpty()
    mode = termios.tcgetattr(theirs)
    mode[1] &= ~termios.OPOST  # the caller's terminal does that
    termios.tcsetattr(theirs, termios.TCSANOW, mode)
    size = fcntl.ioctl(like, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    return ours, theirs
