"""Runs one command to its end, keeps the end of its output, and ends it when a permit says so."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from ..frozen import dataclass
from .permit import END, STOP, Watch

__all__ = ["MAX_LOG", "Ended", "supervise"]

#: The most bytes of a command's output that we keep. Errors are at the end.
MAX_LOG = 64 << 10
# How long a command may take to end after an interrupt: it ends its hook, and gives files back to their owner.
_SECONDS = 30.0
# After so long it gets another one: Python drops an exception that a signal raises while it destroys an object, or in
# the callback of a weak reference, as each import of a module has one. One of 300 interrupts was lost so.
_AGAIN = 5.0
_PERIOD = 0.2
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Ended:
    """The end of a command.

    :ivar code: its exit code, negative if a signal ended it
    :ivar log: the end of its output
    :ivar stopped: whether we asked it to end
    """

    code: int
    log: str
    stopped: bool


def supervise(command: Sequence[str], watch: Watch, environ: Mapping[str, str], *, tied: bool = False) -> Ended:
    """Run a command in a session of its own, so that no interrupt reaches it except through the permit.

    :param watch: says when it has to end
    :param environ: its environment
    :param tied: it calls :func:`..frontends.tether.tie`; an interrupt waits until then
    :raises OSError: it cannot be started
    """
    with _started(command, environ, tied=tied) as process:
        try:
            return _Supervised(process, watch).run()
        except BaseException:
            process.kill()
            raise


def _started(command: Sequence[str], environ: Mapping[str, str], *, tied: bool) -> subprocess.Popen[bytes]:
    # A child inherits which signals are blocked, and keeps that over execve(2), sigprocmask(2). So an interrupt cannot
    # come while the interpreter imports modules, where Python may drop it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT} if tied else ())
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,
            bufsize=0,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Supervised:
    def __init__(self, process: subprocess.Popen[bytes], watch: Watch) -> None:
        assert process.stdout is not None
        self._process = process
        self._watch = watch
        self._fd = process.stdout.fileno()
        self._poll = select.poll()
        self._open = True
        self._log = b""
        self._pressed = 0
        self._deadline = self._again = float("inf")

    def run(self) -> Ended:
        os.set_blocking(self._fd, False)
        self._poll.register(self._fd, select.POLLIN)
        self._poll.register(self._watch.fd, select.POLLIN)
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # a filter may refuse it; then we look from time to time
                ended = os.pidfd_open(self._process.pid)
                stack.callback(os.close, ended)
                self._poll.register(ended, select.POLLIN)
            return self._run()

    def _run(self) -> Ended:
        while self._process.poll() is None:
            try:
                self._wait()
                self._obey(self._watch.asked())
            except KeyboardInterrupt:  # a terminal sends it to each worker of a pool, too
                self._obey(self._pressed + 1)
        self._read()
        return Ended(self._process.returncode, self._log.decode("utf-8", "backslashreplace"), bool(self._pressed))

    def _wait(self) -> None:
        if self._open:
            self._poll.poll(_PERIOD * 1000)
            self._read()
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PERIOD)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._fd, _BLOCK):
                self._log = (self._log + data)[-MAX_LOG:]
            if self._open:
                self._open = False
                self._poll.unregister(self._fd)

    def _obey(self, asked: int) -> None:
        if asked >= END or time.monotonic() > self._deadline:
            self._pressed = END
            self._process.kill()
        elif asked >= STOP and not self._pressed:
            self._pressed = STOP
            self._poll.unregister(self._watch.fd)  # it stays readable
            self._deadline = time.monotonic() + _SECONDS
            self._interrupt()
        elif time.monotonic() > self._again:
            self._interrupt()

    def _interrupt(self) -> None:
        self._again = time.monotonic() + _AGAIN
        self._process.send_signal(signal.SIGINT)
