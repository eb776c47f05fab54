"""The process of ours that stays ready: it is started, used while this process is what it was, and ended.

:mod:`..sandbox.serve` is what runs in it.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading

from ..frozen import dataclass
from .child import child_environ
from .surroundings import Surroundings, is_beside, surroundings

__all__ = ["KEEPER", "SECONDS", "Server", "begin", "received"]

#: Seconds in which the process has to answer. It does nothing but fork.
SECONDS = 10.0
# Of processes that we have tried to start, before we try no further: they do not start here, somebody ends them, or the
# frontend is another one at each call.
_MOST = 6


@dataclass(frozen=True)
class Server:
    """The process that stays ready.

    :ivar channel: the socket for requests
    :ivar inode: of the channel: somebody may close the descriptors of this process, and another file gets the number
    :ivar pid: its pid, as /proc has it
    :ivar pidfd: a descriptor of the process
    :ivar inherited: what it has inherited from this process
    """

    channel: socket.socket
    inode: int
    pid: int
    pidfd: int
    inherited: Surroundings

    def is_ours(self) -> bool:
        """Return whether the channel is still what it was."""
        try:
            return os.fstat(self.channel.fileno()).st_ino == self.inode
        except OSError:
            return False

    def is_equal(self) -> bool:
        """Return whether its forks inherit what a new child of this thread would.

        :raises OSError: /proc does not tell
        """
        return is_beside(self.pid) and surroundings() == self.inherited

    def close(self) -> None:
        """Close the channel, so that the process ends once no launch runs."""
        if self.is_ours():
            self.channel.close()
            os.close(self.pidfd)
        else:
            self.channel.detach()

    def kill(self) -> None:
        """End the process, which may be stopped, and each launch that it has made."""
        with contextlib.suppress(OSError):  # it has ended
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)


class _ChildError(OSError):
    """The process would be a child of this one."""


class _Starting:
    """A process that has been started, and has not answered yet.

    :param channel: our end of the socket
    :param child: a child of this process, which forks the one that stays ready, and ends
    :param inherited: what both inherit
    """

    def __init__(self, channel: socket.socket, child: subprocess.Popen[bytes], inherited: Surroundings) -> None:
        self.channel = channel
        self._child = child
        self._inherited = inherited

    def finish(self) -> Server:
        """Wait for the answer, and for the end of the child.

        :raises OSError: it does not answer
        :raises ValueError: it answers something else
        """
        try:
            with self._child:
                self.channel.settimeout(SECONDS)
                try:
                    answer, pidfds = received(self.channel)
                    pid, (pidfd,) = int(answer), pidfds
                except BaseException:
                    self._child.kill()
                    raise
            _refuse_child(pid, pidfd)
            return Server(self.channel, os.fstat(self.channel.fileno()).st_ino, pid, pidfd, self._inherited)
        except BaseException:
            self.channel.close()
            raise
        finally:
            _starting.discard(self.channel)

    def forget(self) -> None:
        """Leave it to the process that has started it: this one is a fork of that."""
        self.channel.close()
        self._child.returncode = 0  # it is no child of ours


class _Keeper:
    """Keeps the server of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.server: Server | None = None
        self.starting: _Starting | None = None
        self.tries = 0
        self.problem = ""

    def begin(self, entry: str) -> None:
        """Start a server from a file if there is none, and do not wait for it: :meth:`settle` does."""
        with self.lock:
            if self.server is None:
                self._begin(entry)

    def settle(self) -> None:
        """Wait for a server that has been started, so that it needs its file no more, and we have no child."""
        with self.lock:  # always: another thread may wait for it already
            self._finish()

    def get(self, entry: str) -> Server | None:
        """Return the server, started from a file if there is none, or ``None`` if this host lets none start."""
        with self.lock:
            if self.server is not None and not self.server.is_ours():
                self._lose()
            if self.server is None:
                self._begin(entry)
                self._finish()
            return self.server

    def _begin(self, entry: str) -> None:
        if self.starting is None and self.tries < _MOST:
            self.tries += 1
            try:
                self.starting = begin(entry)
            except OSError as error:
                self.problem = str(error)

    def _finish(self) -> None:
        starting, self.starting = self.starting, None
        if starting is None:
            return
        try:
            self.server = starting.finish()
            # It ends with this process anyway, and this way before it: whoever waits for this process may count on
            # that. Threads that are still in a hook are daemons, whose launchers end with us too.
            atexit.register(self.end, kill=True)
        except (OSError, ValueError) as error:
            self.problem = str(error)
            if isinstance(error, _ChildError):  # the next one would be, too
                self.tries = _MOST

    def forget(self, server: Server, *, kill: bool = False) -> None:
        """Stop using a server, which then ends. The next call may start another one.

        :param kill: end it at once, because it does not answer
        """
        with self.lock:
            if self.server is server:
                if kill and server.is_ours():
                    server.kill()
                self._lose()

    def _lose(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.close()

    def forked(self) -> None:
        """Forget the server in a child of this process, which has a copy of the channel."""
        self.lock = threading.Lock()
        self.tries = 0
        for one in _starting:  # in a thread that the child does not have
            one.close()
        _starting.clear()
        starting, self.starting = self.starting, None
        if starting is not None:
            starting.forget()
        self._lose()

    def end(self, *, kill: bool = False) -> None:
        """End the server, if there is one, and wait for its end.

        :param kill: end its launches with it
        """
        self.settle()
        server = self.server
        if server is None:
            return
        if not server.is_ours():
            # Somebody has closed our descriptors, and so ended it. Their numbers may mean other files by now.
            self.forget(server)
            return
        poll = select.poll()
        pidfd = os.dup(server.pidfd)
        try:
            poll.register(pidfd, select.POLLIN)
            self.forget(server, kill=kill)
            poll.poll(SECONDS * 1000)
        finally:
            os.close(pidfd)
        self.tries = 0


# Both ends of the channel of a process that a thread is starting.
_starting: set[socket.socket] = set()
KEEPER = _Keeper()
os.register_at_fork(after_in_child=KEEPER.forked)


def received(one: socket.socket) -> tuple[bytes, list[int]]:
    """Return the next message, and the descriptor that comes with it, if one does.

    ``socket.recv_fds`` takes no flag, and so every program that the frontend starts would inherit the descriptor.

    :raises OSError: there is none, or not in time
    """
    number = array.array("i")
    data, rights, _, _ = one.recvmsg(32, socket.CMSG_LEN(number.itemsize), socket.MSG_CMSG_CLOEXEC)
    for *_, part in rights:
        number.frombytes(part[: len(part) - len(part) % number.itemsize])
    return data, number.tolist()


def begin(entry: str) -> _Starting:
    """Start the process from a file, and do not wait for its answer.

    :raises OSError: it cannot be started
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _starting.update((ours, theirs))
    with theirs:
        try:
            inherited = surroundings()
            # It runs for as long as this process, so it gets no variables that it does not need.
            environ = {name: value for name, value in child_environ().items() if name.startswith("LD_")}
            channel = theirs.fileno()
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", entry, "serve", str(channel), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(channel,),
                cwd="/",
                env=environ,
            )
            return _Starting(ours, child, inherited)
        except BaseException:
            ours.close()
            _starting.discard(ours)
            raise
        finally:
            _starting.discard(theirs)


def _refuse_child(pid: int, pidfd: int) -> None:
    """End the process if it is a child of ours: a frontend that waits until it has none would wait for ever.

    That is so in pid 1 of a container, and in a process that adopts orphans, PR_SET_CHILD_SUBREAPER(2const).

    :raises _ChildError: it is one
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        parent = file.read().rpartition(b")")[2].split()[1]
    if parent == os.fsencode(os.readlink("/proc/self")):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        raise _ChildError("this process adopts orphans, so a process that stays ready would be a child of it")
