"""The hook's stdout and stderr, which are never the caller's own open files.

Through a descriptor of a terminal, a hook could read keystrokes and change the terminal's mode. Through a descriptor of
a log file, it could read earlier lines and cut them off. So the hook gets a pipe, or a pseudo-terminal in place of a
terminal, and the launcher copies from it. In this way the launcher also notices a hook that writes too much, or nothing
for too long.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios

# The bytes that a pipe accepts without blocking when poll(2) reports it writable: PIPE_BUF, pipe(7).
_BLOCK = 4096
# Four times the default capacity of a pipe, in bytes.
_WIDE = 4 * 65536
if False:
    from collections.abc import Iterator, Mapping


class Streams:
    """The channels between descriptors 1 and 2 of the hook and those of the launcher.

    :ivar sources: descriptors to read from, each with the descriptor of the caller to write to
    :ivar moved: the number of bytes read so far
    """

    def __init__(self, fds: tuple[int, ...] = (1, 2)) -> None:
        self.sources: dict[int, int] = {}
        self.moved = 0
        self._pending: dict[int, bytes] = {}
        self._hook_ends: dict[int, int] = {}
        channels: dict[tuple[int, int], int] = {}
        for fd in fds:
            try:
                status = os.fstat(fd)
            except OSError:
                continue  # closed: there is no open file to protect
            # Descriptors of the same file share a channel, so that their output stays in order.
            file = (status.st_dev, status.st_ino)
            if file not in channels:
                source, channels[file] = _terminal(fd) if os.isatty(fd) else os.pipe()
                self.sources[source] = fd
            self._hook_ends[fd] = channels[file]

    @classmethod
    def none(cls) -> Streams:
        """Return streams with nothing to copy."""
        return cls(())

    def take(self) -> None:
        """Make the hook's ends descriptors 1 and 2. Pid 1 calls this after the fork."""
        for fd, hook_end in self._hook_ends.items():
            os.dup2(hook_end, fd, inheritable=True)
        self.release()
        for source in self.sources:
            os.close(source)

    def release(self) -> None:
        """Close the hook's ends. The launcher calls this after the fork."""
        for hook_end in set(self._hook_ends.values()):
            os.close(hook_end)

    def interests(self) -> Iterator[tuple[int, int]]:
        """Yield the descriptors and events to wait for, as poll(2) takes them.

        We wait to read from a source or, if we have data from it, to write that data. We never read more than we can
        pass on, so a caller that does not read cannot block the launcher.
        """
        for source, target in self.sources.items():
            yield (target, select.POLLOUT) if source in self._pending else (source, select.POLLIN)

    def is_waiting(self) -> bool:
        """Return whether there is output that the caller has not accepted yet."""
        return bool(self._pending)

    def move(self, events: Mapping[int, int]) -> bool:
        """Copy all that is ready, and return whether we read anything."""
        before = self.moved
        for source, target in tuple(self.sources.items()):
            if source in self._pending:
                if target in events:
                    self._pass_on(source, target)
            elif source in events:
                self._take_in(source)
        return self.moved > before

    def widen(self) -> None:
        """Enlarge the caller's pipes, pipe(7), for a caller that reads them only after the hook has ended.

        A pipe holds pages. Data that arrives in portions other than those it was written in fills the pages less well.
        """
        for target in self.sources.values():
            try:
                fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, _WIDE)
            except OSError:
                continue  # not a pipe, or the user has too many pages in pipes: then the caller has to read

    def close(self) -> None:
        """Stop copying."""
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
            self._pending[source] = data
        else:
            self._drop(source)

    def _pass_on(self, source: int, target: int) -> None:
        data = self._pending.pop(source)
        try:
            remainder = data[os.write(target, data) :]
        except BlockingIOError:
            remainder = data
        except BrokenPipeError:
            # Nobody reads any more. Let the hook get SIGPIPE, as it would without us.
            self._drop(source)
            return
        except OSError:
            return  # a full disk, or a terminal that is gone: the hook goes on, and we drop the data
        if remainder:
            self._pending[source] = remainder

    def _drop(self, source: int) -> None:
        self._pending.pop(source, None)
        del self.sources[source]
        os.close(source)


def _terminal(like: int) -> tuple[int, int]:
    """Return both ends of a pseudo-terminal that has the size of terminal ``like`` and passes on output unchanged."""
    ours, theirs = os.openpty()
    mode = termios.tcgetattr(theirs)
    mode[1] &= ~termios.OPOST  # the caller's terminal processes the output
    termios.tcsetattr(theirs, termios.TCSANOW, mode)
    size = fcntl.ioctl(like, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    return ours, theirs
