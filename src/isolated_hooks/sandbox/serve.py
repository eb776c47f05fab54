"""A process that stays ready to launch: it has imported everything, and forks for each launch of one frontend.

The frontend starts it by exec at the first hook, from the same file as any launcher, and holds the other end of its
channel. A launch is a fork of this process as it was at its start: it takes the streams, the directory, the variables
and the arguments of the call, and goes on as a launcher that the frontend has started itself. This process reads
nothing of a call, keeps nothing of it, and is never in a sandbox. It ends with the frontend, and with it each launch.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing signal imports enum: ten milliseconds
import _socket
import marshal
import os
import select
import sys

from . import cputime, launch, measures, syscalls, uidlock  # noqa: F401 - otherwise each launch would import some
from .forking import fork

if False:
    from typing import NoReturn

# A terminal sends them to the frontend's whole group. The frontend decides about its end, and each launch about its.
_CAUGHT = (_signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP, _signal.SIGTERM)
#: The descriptors that come with a request: the request itself, a socket for its answers, the directory, the streams.
DESCRIPTORS = 6
_INT = 4
# More than any process has.
_NONE = 1 << 31


def main(arguments: list[str]) -> int:
    """Run ``CHANNEL FRONTEND``: serve the process FRONTEND until it ends or closes the channel.

    The frontend may wait for any child of its own, so this process is not one: a child of the frontend's forks it.
    """
    syscalls.close_from(_NONE)  # a host that refuses the call lets no launch begin, and only a new launcher says so
    if not fork():
        Server(int(arguments[0]), int(arguments[1])).serve()
    return 0


class Server:
    """Forks launches, and tells the frontend how each of them ended.

    :param channel: the descriptor of a socket of packets; only the frontend has the other end
    :param frontend: the pid of the frontend
    """

    def __init__(self, channel: int, frontend: int) -> None:
        self.channel = _socket.socket(fileno=channel)
        self.frontend = os.pidfd_open(frontend)
        self.before = {number: _signal.signal(number, lambda *_: None) for number in _CAUGHT}
        self.pid = os.getpid()
        self.is_open = True
        self.launches: dict[int, tuple[int, _socket.socket]] = {}
        self.poll = select.poll()
        for fd in (channel, self.frontend):
            self.poll.register(fd, select.POLLIN)

    def serve(self) -> NoReturn:
        """Serve until the frontend ends, or has closed the channel and waits for no launch any more.

        Each launch watches the frontend and this process, and ends with either of them.
        """
        try:
            # The number is not our pid, if /proc belongs to a PID namespace above ours.
            own = os.pidfd_open(self.pid)
            self.channel.sendmsg([os.readlink(b"/proc/self")], [_right(own)])
            os.close(own)
            while self.is_open or self.launches:
                events = dict(self.poll.poll())
                if self.frontend in events:
                    break
                self._serve(events)
        finally:
            os._exit(0)

    def _serve(self, events: dict[int, int]) -> None:
        for pidfd, (pid, answers) in list(self.launches.items()):
            if answers.fileno() in events:
                self.poll.unregister(answers.fileno())  # the frontend does not wait for the launch any more
                _end(pidfd)
            if pidfd in events:
                self._finish(pidfd, pid, answers)
        if self.channel.fileno() in events:
            self._accept()

    def _accept(self) -> None:
        data, rights, *_ = self.channel.recvmsg(16, _socket.CMSG_SPACE(DESCRIPTORS * _INT))
        received = memoryview(b"".join(part for *_, part in rights)).cast("i").tolist()
        if len(received) == DESCRIPTORS:
            self._launch(received)
        for fd in received:
            os.close(fd)
        if not data:
            self.is_open = False
            self.poll.unregister(self.channel.fileno())

    def _launch(self, received: list[int]) -> None:
        """Fork a launch. Without it, the frontend sees its socket close, and starts a launcher itself."""
        try:
            answers = _socket.socket(fileno=os.dup(received[1]))
        except OSError:
            return  # no descriptor is left
        try:
            # Once: while we waited for a process to end, other launches would wait for us.
            pid = os.fork()
        except OSError:
            answers.close()
            return
        if pid == 0:
            self._become(received)
        pidfd = _told(pid, answers)
        if pidfd < 0:
            # It has not begun, because it waits for the frontend's word.
            os.kill(pid, _signal.SIGKILL)
            os.waitpid(pid, 0)
            answers.close()
            return
        self.launches[pidfd] = pid, answers
        self.poll.register(pidfd, select.POLLIN)
        self.poll.register(answers.fileno(), 0)  # for POLLHUP, which poll(2) always reports

    def _finish(self, pidfd: int, pid: int, answers: _socket.socket) -> None:
        _, status = os.waitpid(pid, 0)
        del self.launches[pidfd]
        for fd in (pidfd, answers.fileno()):
            try:
                self.poll.unregister(fd)
            except KeyError:
                pass
        try:
            answers.send(b"%d" % status)
        except OSError:
            pass  # the frontend does not wait for it any more
        answers.close()
        os.close(pidfd)

    def _become(self, received: list[int]) -> NoReturn:
        """Become the launcher of one call, as the frontend would have started it."""
        code = 1
        try:
            request, answers, directory, *streams = received
            # Whoever has started a launch ends it: its parent's end, until it looks for that itself.
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGKILL)
            # Before the frontend has our pidfd, it could not end us.
            if _socket.socket(fileno=answers).recv(1) == b"g" and os.getppid() == self.pid:
                arguments, variables = marshal.loads(os.pread(request, os.fstat(request).st_size, 0))
                for number, fd in enumerate(streams):
                    os.dup2(fd, number)
                os.fchdir(directory)
                for number, handler in self.before.items():
                    _signal.signal(number, _signal.SIG_IGN if handler == _signal.SIG_IGN else _signal.SIG_DFL)
                _set_environment(variables)
                self._drop()
                code = launch.main([os.fsdecode(word) for word in arguments])
        except BaseException:
            sys.excepthook(*sys.exc_info())  # as the interpreter does at its end
        finally:
            os._exit(code)

    def _drop(self) -> None:
        """Close what belongs to this process alone. A socket object would close the number again, later."""
        self.channel.detach()
        for _, answers in self.launches.values():
            answers.detach()
        syscalls.close_from(3)


def _right(fd: int) -> tuple[int, int, bytes]:
    """Return the message that carries a descriptor, unix(7)."""
    return _socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(_INT, sys.byteorder)


def _told(pid: int, answers: _socket.socket) -> int:
    """Give the frontend a descriptor of a launch, and return ours, or -1 if there is nobody or nothing to give.

    Besides descriptors, a host may be short of those that are under way between processes of one user, unix(7).
    """
    pidfd = -1
    try:
        pidfd = os.pidfd_open(pid)
        answers.sendmsg([b"started"], [_right(pidfd)])
    except OSError:
        if pidfd >= 0:
            os.close(pidfd)
        return -1
    return pidfd


def _set_environment(variables: dict[bytes, bytes]) -> None:
    os.environb.clear()
    for name, value in variables.items():
        os.environb[name] = value


def _end(pidfd: int) -> None:
    try:
        _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
    except ProcessLookupError:
        pass
