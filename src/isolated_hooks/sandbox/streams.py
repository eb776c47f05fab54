"""The hook's stdout and stderr, which are never the caller's own open files.

Through a descriptor of a terminal, a hook could read keystrokes and change the terminal's mode. Through a descriptor of
a log file, it could read earlier lines and cut them off. So the hook gets a pipe, or a pseudo-terminal in place of a
terminal, and the launcher copies from it. In this way the launcher also notices a hook that writes too much, or nothing
for too long.

The launcher must never wait at either end. A hook can open its end of a pipe for reading, proc_pid_fd(5), or discard
what it has written to a terminal, tcflush(3), after poll(2) has reported it: so our ends do not block. At the other end
a frontend may stop reading: see :class:`Target`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import termios

# The bytes that a pipe accepts without blocking when poll(2) reports it writable: PIPE_BUF, pipe(7).
_BLOCK = 4096
# Four times the default capacity of a pipe, in bytes.
_WIDE = 4 * 65536
# The device of ptmx(4): to open it is to make another pseudo-terminal.
_PTMX = os.makedev(5, 2)
# RWF_NOWAIT of writev(2): some kinds of open files do not have it, EOPNOTSUPP, and nor have all kernels.
_NOWAIT = 8
if False:
    from collections.abc import Iterable, Iterator, Mapping


class Target:
    """One of the caller's open files, for output that must not hold up the launcher.

    poll(2) promises room for one byte, and another process may fill it first. O_NONBLOCK is a flag of the open file,
    which the caller shares, so we leave it alone, open(2). A pipe or a terminal we open again: that open file is ours.
    Any other file than one on a disk we ask for each write, with RWF_NOWAIT. Make it before this process changes its
    user: then it may open only its own files.

    :param fd: the caller's descriptor
    :ivar fd: the descriptor to wait for
    """

    def __init__(self, fd: int) -> None:
        mode = os.fstat(fd).st_mode
        self.caller = fd
        self.fd = fd
        self._waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and os.isatty(fd))
        if stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and self._waits and os.fstat(fd).st_rdev != _PTMX):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            try:
                self.fd = os.open(b"/proc/self/fd/%d" % fd, flags)
            except OSError:
                return  # another user's: the caller has changed its user since it got the descriptor
            self._waits = False

    def write(self, data: bytes) -> int:
        """Write what there is room for, and return its size.

        :raises BlockingIOError: there is no room
        """
        if self._waits:
            try:
                return os.pwritev(self.fd, (data,), -1, _NOWAIT)
            except BlockingIOError:
                raise
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
            self._waits = False
        return os.write(self.fd, data)

    def close(self) -> None:
        """Close our own descriptor, and leave the caller's open."""
        if self.fd != self.caller:
            os.close(self.fd)
            self.fd = self.caller


def targets() -> list[Target]:
    """Return the caller's stdout and stderr, as far as they are open."""
    streams = []
    for fd in (1, 2):
        try:
            streams.append(Target(fd))
        except OSError:
            continue  # closed: there is no open file to protect
    return streams


class Streams:
    """The channels between descriptors 1 and 2 of the hook and those of the launcher.

    :param to: the caller's files, one for each descriptor of the hook
    :ivar sources: descriptors to read from, none of which blocks, each with the file of the caller to write to
    :ivar moved: the number of bytes read so far
    """

    def __init__(self, to: Iterable[Target]) -> None:
        self.sources: dict[int, Target] = {}
        self.moved = 0
        self._targets = list(to)
        self._pending: dict[int, bytes] = {}
        self._hook_ends: dict[int, int] = {}
        channels: dict[tuple[int, int], int] = {}
        for target in self._targets:
            status = os.fstat(target.caller)
            # Descriptors of the same file share a channel, so that their output stays in order.
            file = (status.st_dev, status.st_ino)
            if file not in channels:
                source, channels[file] = _terminal(target.caller) if os.isatty(target.caller) else os.pipe()
                os.set_blocking(source, False)
                self.sources[source] = target
            self._hook_ends[target.caller] = channels[file]

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
        for target in self._targets:
            target.close()

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
            yield (target.fd, select.POLLOUT) if source in self._pending else (source, select.POLLIN)

    def is_waiting(self) -> bool:
        """Return whether there is output that the caller has not accepted yet."""
        return bool(self._pending)

    def move(self, events: Mapping[int, int]) -> bool:
        """Copy all that is ready, and return whether we read anything."""
        before = self.moved
        for source, target in tuple(self.sources.items()):
            if source in self._pending:
                if target.fd in events:
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
                fcntl.fcntl(target.fd, fcntl.F_SETPIPE_SZ, _WIDE)
            except OSError:
                continue  # not a pipe, or the user has too many pages in pipes: then the caller has to read

    def close(self) -> None:
        """Stop copying."""
        for source in tuple(self.sources):
            self._drop(source)

    def close_silent(self) -> None:
        """Stop copying from sources that have nothing to say."""
        for source in self.sources.keys() - self._pending.keys():
            self._drop(source)

    def _take_in(self, source: int) -> None:
        try:
            data = os.read(source, _BLOCK)
        except BlockingIOError:
            return  # the hook has taken it back
        except OSError as error:
            if error.errno != errno.EIO:  # the last process has closed the other end of the terminal, pty(7)
                raise
            data = b""
        if data:
            self.moved += len(data)
            self._pending[source] = data
        else:
            self._drop(source)

    def _pass_on(self, source: int, target: Target) -> None:
        data = self._pending.pop(source)
        try:
            remainder = data[target.write(data) :]
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
