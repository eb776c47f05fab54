"""Launches from a process that stays ready, which saves the start of an interpreter for each hook.

A runner whose work we know starts the launcher with :func:`popen`, which asks that process for a fork of it where the
policy allows that, and otherwise starts the command. :mod:`..sandbox.serve` is the other side.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from . import ready
from .ready import KEEPER, Server

__all__ = [
    "Permission",
    "Started",
    "beginning",
    "end",
    "expect",
    "is_expected",
    "is_ready",
    "permitted",
    "popen",
    "problem",
]

# Seconds that subprocess gives a child to end after an interrupt.
_PATIENCE = 0.25


@dataclasses.dataclass
class Permission:
    """Whether launches may be warm.

    :ivar used: whether the last one was
    """

    used: bool = False


_permission: contextvars.ContextVar[Permission | None] = contextvars.ContextVar("warm", default=None)


_expecting = contextvars.ContextVar[bool]("expecting", default=False)


def expect() -> None:
    """Say that :func:`popen` will start hooks, so that the trial of the host before them starts the process."""
    _expecting.set(True)


def is_expected() -> bool:
    """Return whether somebody has said so. A process that no hook will use would cost the trial its start."""
    return _expecting.get()


@contextlib.contextmanager
def permitted(allowed: bool) -> Iterator[Permission]:
    """Within the context, let :func:`popen` use the process that stays ready, if that is allowed."""
    permission = Permission()
    before = _permission.set(permission if allowed else None)
    try:
        yield permission
    finally:
        _permission.reset(before)


@contextlib.contextmanager
def beginning(entry: str | None) -> Iterator[None]:
    """Within the context, have the process that stays ready start while this process does something else.

    :param entry: the file to start it from if there is none, which has to exist within the context; ``None`` to start
        none
    """
    if entry is not None:
        KEEPER.begin(entry)
    try:
        yield
    finally:
        KEEPER.settle()


def popen(
    command: Sequence[Any],
    *,
    cwd: str | None,
    env: Mapping[str, str] | None,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Started | subprocess.Popen[bytes]:
    """Start a command as :class:`subprocess.Popen` does. If it is a launcher's, fork it from the process that is ready.

    :param stdin: ``subprocess.DEVNULL``, or ``None`` for this process's own
    :param stdout: ``subprocess.PIPE``, ``subprocess.DEVNULL``, or ``None``
    :param stderr: ``subprocess.STDOUT``, or as ``stdout``
    """
    permission = _permission.get()
    started = None
    if permission is not None:
        started = _start(command, cwd, env, (stdin, stdout, stderr))
        permission.used = started is not None
    if started is not None:
        return started
    return subprocess.Popen(command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=0)


class Started:
    """A launcher that was forked for us, with the part of the interface of :class:`subprocess.Popen` that we use."""

    def __init__(
        self, args: Sequence[Any], server: Server, answers: socket.socket, pidfd: int, stdout: IO[bytes] | None
    ) -> None:
        self.args = args
        self.stdout = stdout
        self.returncode: int | None = None
        self._server = server
        self._answers = answers
        self._pidfd = pidfd

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the launcher. Return its exit code, or the negative number of its signal.

        :raises subprocess.TimeoutExpired: it did not end in time
        """
        try:
            return self._wait(timeout)
        except KeyboardInterrupt:
            # A terminal interrupts both, so subprocess waits as long for the end of a child.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._wait(_PATIENCE)
            raise

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            answer = self._answer(timeout)
            if not answer:  # the process that was ready has ended, and a launcher does not survive it
                self.kill()
            self.returncode = os.waitstatus_to_exitcode(int(answer)) if answer else -signal.SIGKILL
        return self.returncode

    def _answer(self, timeout: float | None) -> bytes:
        """Return what the server says of the end of the launcher, or nothing if it has ended or does not answer."""
        poll = select.poll()
        for fd in (self._answers.fileno(), self._pidfd):
            poll.register(fd, select.POLLIN)
        if not poll.poll(None if timeout is None else max(0.0, timeout) * 1000):
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        # The launcher has ended, or the server has. It has nothing else to do than to say so, unless it was stopped.
        self._answers.settimeout(ready.SECONDS)
        try:
            return self._answers.recv(32)
        except TimeoutError:
            KEEPER.forget(self._server, kill=True)
            return b""

    def send_signal(self, number: int) -> None:
        """Send a signal to the launcher, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """End the launcher, and with it everything that it has started."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        if self.stdout is not None:
            self.stdout.close()
        try:
            if self.returncode is None:
                self.wait()
        finally:
            self._answers.close()
            os.close(self._pidfd)


def end() -> None:
    """End the process that stays ready, if there is one, and wait for its end: it lies in a cgroup, for instance.

    Otherwise it ends with this process. The next hook starts another one.
    """
    KEEPER.end()


def is_ready() -> bool:
    """Return whether a process is ready, as far as this process has tried."""
    return KEEPER.server is not None


def problem() -> str | None:
    """Return ``None`` if a process is ready, and otherwise why there is none, as far as this process has tried."""
    return None if is_ready() else KEEPER.problem or "no launch has asked for one"


def _start(
    command: Sequence[Any], cwd: str | None, env: Mapping[str, str] | None, streams: tuple[int | None, ...]
) -> Started | None:
    """Return a launcher that the server has forked, or ``None`` if only a new process is like what a runner starts."""
    words = [os.fsdecode(word) for word in command]
    interpreter, entry, rest = words[:3], "".join(words[3:4]), words[4:]
    if interpreter != [sys.executable, "-I", "-S"] or rest[:2] != ["launch", os.path.dirname(entry)]:
        return None
    server = KEEPER.get(entry)
    if server is None:
        return None
    try:
        if not server.is_equal():
            # It may have rights that this process has given up since.
            KEEPER.forget(server)
            return None
        sys.audit("subprocess.Popen", words[0], words, cwd, env)
        with contextlib.ExitStack() as stack:
            return _ask(server, rest[1:], os.environ if env is None else env, cwd or ".", streams, stack)
    except _NoAnswerError:
        KEEPER.forget(server, kill=True)
    except (OSError, ValueError):
        pass  # a new process fails likewise, and its error says why
    return None


class _NoAnswerError(Exception):
    """The server was stopped."""


def _ask(
    server: Server,
    arguments: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    streams: tuple[int | None, ...],
    stack: contextlib.ExitStack,
) -> Started:
    """Ask for a launch.

    :raises _NoAnswerError: the server does not answer
    :raises OSError: the directory or a stream cannot be opened, nothing can be sent, or the server cannot fork. It may
        have launches that run, of other threads, so it stays: a hook can bring such a shortage about
    :raises ValueError: no process can have such arguments or variables
    """
    # The server decodes them in another locale.
    words = [os.fsencode(word) for word in arguments]
    variables = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    _check(words, variables)
    request = _closing(stack, os.memfd_create("isolated-hooks", os.MFD_CLOEXEC))
    with open(os.dup(request), "wb") as file:
        marshal.dump((words, variables), file)
    directory = _closing(stack, os.open(cwd, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    failed = stack.enter_context(contextlib.ExitStack())
    given, reading = _opened(streams, stack)
    stdout = None if reading is None else open(reading, "rb", buffering=0)  # noqa: SIM115
    if stdout is not None:
        failed.callback(stdout.close)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    failed.callback(ours.close)
    with theirs:
        try:
            socket.send_fds(server.channel, [b"launch"], [request, theirs.fileno(), directory, *given])
        except TimeoutError as error:
            raise _NoAnswerError from error
        except (BrokenPipeError, ConnectionResetError):
            KEEPER.forget(server)  # it has ended
            raise
    ours.settimeout(ready.SECONDS)
    try:
        _, rights = ready.received(ours)
    except TimeoutError as error:
        raise _NoAnswerError from error
    if not rights:
        raise OSError("the process that stays ready could not fork")
    failed.pop_all()
    started = Started(list(arguments), server, ours, rights[0], stdout)
    with contextlib.suppress(OSError):  # it has ended, which wait() tells
        ours.send(b"g")
    return started


def _check(words: Sequence[bytes], variables: Mapping[bytes, bytes]) -> None:
    """Leave to a new process what setenv(3) refuses and execve(2) does not, such as a variable without a name."""
    if not all(variables) or any(b"=" in name for name in variables):
        raise ValueError("setenv(3) takes no such name")
    if any(b"\0" in text for text in (*words, *variables, *variables.values())):
        raise ValueError("embedded null byte")


def _closing(stack: contextlib.ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _opened(streams: tuple[int | None, ...], stack: contextlib.ExitStack) -> tuple[list[int], int | None]:
    """Return descriptors for the three streams, and the end to read the output from, if that is a pipe."""
    descriptors: list[int] = []
    reading = None
    for number, wanted in enumerate(streams):
        if wanted == subprocess.DEVNULL:
            descriptors.append(_closing(stack, os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)))
        elif wanted == subprocess.STDOUT:
            descriptors.append(descriptors[1])
        elif wanted == subprocess.PIPE:
            reading, write = os.pipe()
            descriptors.append(_closing(stack, write))
        else:
            os.fstat(number)  # a daemon may have closed it
            descriptors.append(number)
    return descriptors, reading
