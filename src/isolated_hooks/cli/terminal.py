"""A pseudo-terminal for a command in a sandbox, which never holds the caller's own terminal.

So the command cannot type into the caller's shell, and cannot leave the caller's terminal in another mode.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import tty
from collections.abc import Iterator

from ..launchers.child import child_environ

__all__ = ["PseudoTerminal"]


class PseudoTerminal:
    """A context manager that opens a pseudo-terminal, with the size of the terminal at descriptor 0, and closes it.

    :ivar name: the path of its device
    """

    def __enter__(self) -> PseudoTerminal:
        self._ours, self._theirs = pty.openpty()
        self.name = os.ttyname(self._theirs)
        _copy_size(self._ours)
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (self._ours, self._theirs):
            with contextlib.suppress(OSError):
                os.close(fd)

    def run(self, command: list[str]) -> None:
        """Run a command on the pseudo-terminal, and copy between it and the terminal at descriptors 0 and 1."""
        process = subprocess.Popen(
            command, stdin=self._theirs, stdout=self._theirs, stderr=self._theirs, env=child_environ()
        )
        os.close(self._theirs)
        try:
            with _raw_terminal(), _following_size(self._ours):
                _relay(self._ours)
        finally:
            os.close(self._ours)
            process.wait()


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)


@contextlib.contextmanager
def _following_size(ours: int) -> Iterator[None]:
    before = signal.signal(signal.SIGWINCH, lambda *_: _copy_size(ours))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _copy_size(ours: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(ours, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))


def _relay(ours: int) -> None:
    """Copy until the last process has closed the other end.

    The command shares it: it can discard what it has written after select(2) has reported it, tcflush(3), and it need
    not read. So our end does not block, and the user's next key always gets a chance.
    """
    os.set_blocking(ours, False)
    keys, ended = b"", False
    while True:
        sources = [ours] if keys or ended else [0, ours]
        ready, writable, _ = select.select(sources, [ours] if keys else [], [])
        if ours in ready and not _copy_output(ours):
            return
        if 0 in ready:
            keys = _read(0)
            ended = not keys
        if keys and (writable or 0 in ready):
            try:
                keys = keys[os.write(ours, keys) :]
            except BlockingIOError:
                pass  # the command does not read, and has more than enough to read
            except OSError:
                keys = b""


def _copy_output(ours: int) -> bool:
    """Copy what has come, and return whether more can come."""
    try:
        data = os.read(ours, 65536)
    except BlockingIOError:
        return True
    except OSError:  # EIO: the last process has closed the other end, pty(7)
        return False
    _write(1, data)
    return bool(data)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # EIO: the terminal is gone
        return b""


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
