"""The broker: pid 1 connects and binds sockets on the hook's behalf, so that a hook reaches only its own unix sockets.

A read-only mount does not stop connect(2), and a filter cannot read an address. So the hook's filter hands each
connect(2) and bind(2) to pid 1, which reads the address once, takes a duplicate of the hook's descriptor and makes the
call itself. The hook may change its memory, its descriptors and its files meanwhile: pid 1 looks at nothing twice.

Every socket with a path is bound in one directory, :data:`~.landlock.OF_SOCKETS`, and a symbolic link at the path that
the hook asked for leads there. A connection leads to a socket in that directory, or nowhere. Its filesystem is visible
in this sandbox only, and nothing is mounted beneath it. Nobody can rename it: it is a mount point in a read-only
directory.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing signal imports enum: ten milliseconds
import fcntl
import os
import select
import stat
import time
from errno import (
    EACCES,
    EADDRINUSE,
    EAGAIN,
    EALREADY,
    ECONNREFUSED,
    EINPROGRESS,
    EINTR,
    EINVAL,
    EISCONN,
)

from . import listener, modes, renames, syscalls
from .attempts import Attempts
from .landlock import OF_SOCKETS
from .numbers import MACHINES, NUMBERS
from .syscalls import SyscallError

if False:
    from .lookups import Lookups
    from .observing import Observer

_AF_UNIX = 1
_STREAM, _SEQPACKET = 1, 5
_SOL_SOCKET, _SO_TYPE, _SO_SNDTIMEO, _SO_DOMAIN = 1, 3, 21, 39
_LARGEST_ADDRESS = 128  # struct sockaddr_storage
_LONGEST_PATH = 108
# More calls that wait for a connection than this one let the others wait in the kernel.
_MOST_WAITING = 256
# Seconds between two attempts where the kernel does not tell when the next one can succeed.
_PAUSE = 0.01
# What the kernel answers to a call on a socket if its work is done already.
_DONE = (EISCONN, EINVAL, EADDRINUSE)
_BIND = NUMBERS["bind"][MACHINES[syscalls.MACHINE]] if syscalls.MACHINE in MACHINES else None


class Waiting:
    """A connection that a call on a blocking socket waits for.

    :ivar fd: our duplicate of the socket
    :ivar path: an O_PATH descriptor of the socket file that the address names, or -1
    :ivar end: when the time limit of the socket ends, or ``None``
    """

    def __init__(self, request: listener.Request, fd: int, address: bytes, path: int, *, polled: bool) -> None:
        self.request = request
        self.fd = fd
        self.address = address
        self.path = path
        self.polled = polled
        timeout = syscalls.socket_option(fd, _SOL_SOCKET, _SO_SNDTIMEO, 16)
        seconds = int.from_bytes(timeout[:8], "little") + int.from_bytes(timeout[8:], "little") / 1e6
        self.end = time.monotonic() + seconds if seconds else None

    def close(self) -> None:
        """Close our descriptors."""
        os.close(self.fd)
        if self.path >= 0:
            os.close(self.path)


class Broker:
    """Answers the requests of one hook, and reaps the processes of the sandbox.

    :param requests: the descriptor of the filter's listener
    :param abstract: abstract names belong to this sandbox: it has a network namespace of its own
    :param observer: takes note of what the hook asks for, if somebody wants to know
    :param lookups: the name server of the hook, if the hook has none outside
    """

    def __init__(
        self, requests: int, *, abstract: bool, observer: Observer | None = None, lookups: Lookups | None = None
    ) -> None:
        self.requests = requests
        listener.wake_up_quickly(requests)
        self.abstract = abstract
        self.paths = modes.Paths()
        self.waiting: dict[int, Waiting] = {}
        self.observer = observer
        self.lookups = lookups
        self.attempts = Attempts() if observer is None else Attempts(observer.most_destinations)
        self.last: dict[int, tuple[int, ...]] = {}  # the last call that succeeded, by thread
        sockets = syscalls.open_path(OF_SOCKETS)
        self.mount = syscalls.mount_id(sockets)
        os.close(sockets)

    def serve(self, hook: int) -> int:
        """Answer until the hook ends. Return its exit code, or the negative number of its signal."""
        wake, signalled = os.pipe()
        for fd in (wake, signalled):
            os.set_blocking(fd, False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        idle = select.poll()
        idle.register(wake, select.POLLIN)
        idle.register(self.requests, select.POLLIN)
        queries = -1 if self.lookups is None else self.lookups.fd
        if queries >= 0:
            idle.register(queries, select.POLLIN)
        code = _reap(hook)
        while code is None:
            # Nearly always nothing waits, and then every call of the hook that comes here waits for this loop alone.
            events = self._wait(wake) if self.waiting or self.requests < 0 else dict(idle.poll())
            if wake in events:  # a child may have ended
                os.read(wake, 4096)
                code = _reap(hook)
            if self.waiting:
                self._go_on(events)
            if events.get(self.requests, 0) & select.POLLIN:
                self._serve_one()
            elif self.requests in events:  # POLLHUP: no process with the filter is left, and the hook ends now
                os.close(self.requests)
                self.requests, self.waiting = -1, {}
            if self.lookups is not None and queries in events:
                self.lookups.answer()
        return code

    def answer_until(self, fd: int) -> None:
        """Answer until a descriptor can be read: an observed process waits for us in the execve(2) that starts it."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(self.requests, select.POLLIN)
        while True:
            events = dict(poll.poll())
            if fd in events or not events[self.requests] & select.POLLIN:
                return
            self._serve_one()

    def _wait(self, wake: int) -> dict[int, int]:
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        if self.requests >= 0 and len(self.waiting) < _MOST_WAITING:
            poll.register(self.requests, select.POLLIN)
        if self.lookups is not None:
            poll.register(self.lookups.fd, select.POLLIN)
        for waiting in self.waiting.values():
            if waiting.polled:
                poll.register(waiting.fd, select.POLLOUT)
        pause = None
        if self.waiting:
            # Now and then also for the sockets that poll: their processes may have ended, or their time.
            pause = 100 if all(w.polled for w in self.waiting.values()) else int(_PAUSE * 1000)
        return dict(poll.poll(pause))

    def _go_on(self, events: dict[int, int]) -> None:
        for cookie, waiting in list(self.waiting.items()):
            if not listener.is_valid(self.requests, cookie):
                error = 0
            elif waiting.end is not None and time.monotonic() >= waiting.end:
                error = EINPROGRESS if waiting.polled else EAGAIN
            elif waiting.polled and waiting.fd not in events:
                continue
            else:
                error = _connect(waiting.fd, waiting.address)
                if error in (EINPROGRESS, EALREADY, EAGAIN, EINTR):
                    continue
                if waiting.polled:
                    self.attempts.note(waiting.address, error)
            del self.waiting[cookie]
            waiting.close()
            listener.answer(self.requests, cookie, error)

    def _serve_one(self) -> None:
        request = listener.receive(self.requests)
        if request is None:
            return
        if self.observer is not None and self.observer.looks_at(request):
            self.observer.look(self.requests, request)
            listener.go_on(self.requests, request.cookie)
            return
        if request.number in renames.CALLS:
            self._serve_rename(request)
            return
        try:
            error = self._make_call(request)
        except OSError as failure:
            error = failure.errno or EINVAL
        if error is not None:
            listener.answer(self.requests, request.cookie, error)

    def _serve_rename(self, request: listener.Request) -> None:
        error = renames.change(self.requests, request, self.paths)
        if error is None:
            listener.go_on(self.requests, request.cookie)
        else:
            listener.answer(self.requests, request.cookie, error)

    def _make_call(self, request: listener.Request) -> int | None:
        """Make the call of a request. Return its error, or ``None`` if it waits.

        :raises OSError: the call failed
        """
        number, address, size = request.arguments[:3]
        size &= 0xFFFFFFFF
        of_mode = request.number in modes.CALLS
        if size > _LARGEST_ADDRESS and not of_mode:
            return EINVAL
        caller = listener.Caller(request.task)
        fd = -1
        try:
            if of_mode:
                return modes.change(self.requests, request, caller)
            data = syscalls.read_memory(request.task, address, size)
            fd = listener.take(caller.pidfd, number)
            if not listener.is_valid(self.requests, request.cookie):
                return 0  # what we have read and taken may be another process's
            call = request.number, *request.arguments[:3], os.fstat(fd).st_ino
            if request.number == _BIND:
                return self._once(request.task, call, self._bind(caller, fd, data))
            return self._once(request.task, call, self._connect(request, caller, fd, data))
        finally:
            caller.close()
            if fd >= 0 and request.cookie not in self.waiting:
                os.close(fd)

    def _once(self, task: int, call: tuple[int, ...], error: int | None) -> int | None:
        """Return the error of a call, or 0 if the call is the last of this thread, and that one succeeded.

        A signal may cancel a call whose work is done. The kernel then starts it again with the same arguments. Before
        Linux 5.19 any signal does so, see listener.py, and before 6.17 a signal that comes together with the answer.
        """
        if error in _DONE and self.last.get(task) == call:
            return 0
        if error == 0:
            self.last.pop(task, None)
            self.last[task] = call
            if len(self.last) > _MOST_WAITING:
                del self.last[next(iter(self.last))]
        return error

    def _connect(self, request: listener.Request, caller: listener.Caller, fd: int, data: bytes) -> int | None:
        family = _number(fd, _SO_DOMAIN)
        path, address = -1, data
        name = _path_of(data) if family == _AF_UNIX else b""
        try:
            if name:
                path = caller.open(name)
                if not stat.S_ISSOCK(os.fstat(path).st_mode) or syscalls.mount_id(path) != self.mount:
                    return ECONNREFUSED
                address = _unix_address(b"/proc/self/fd/%d" % path)
            error = _connect(fd, address)
            if family != _AF_UNIX:
                said = error if self.observer is None else self.observer.connecting(caller, fd, data, error)
                self.attempts.note(data, said)
            unready = (EAGAIN,) if family == _AF_UNIX else (EINPROGRESS, EALREADY)
            if error in unready and os.get_blocking(fd):
                polled = family != _AF_UNIX
                self.waiting[request.cookie] = Waiting(request, fd, address, path, polled=polled)
                return None
            return error
        finally:
            if path >= 0 and request.cookie not in self.waiting:
                os.close(path)

    def _bind(self, caller: listener.Caller, fd: int, data: bytes) -> int:
        if _number(fd, _SO_DOMAIN) != _AF_UNIX or len(data) < 2:
            return _errno_of("bind", fd, data)
        name = _path_of(data)
        if not name:
            # An abstract name of the caller's network is within reach of every process there.
            return _errno_of("bind", fd, data) if self.abstract else EACCES
        os.umask(caller.umask())  # it limits the mode of the socket file, unix(7)
        own = b"%b/%b" % (OF_SOCKETS, os.urandom(8).hex().encode())
        parent, last = os.path.split(name)
        directory = caller.open(parent or (b"/" if name.startswith(b"/") else b"."))
        try:
            # First the link, because nothing can unbind a socket.
            _link(own, last, directory)
            error = _errno_of("bind", fd, _unix_address(own))
            if error:
                os.unlink(last, dir_fd=directory)
            return error
        except FileExistsError:
            return EADDRINUSE
        finally:
            os.close(directory)


def _reap(hook: int) -> int | None:
    """Reap every ended child. Return the exit code of the hook if it has ended."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == hook:
            return os.waitstatus_to_exitcode(status)
        if pid == 0:
            return None


def _link(own: bytes, name: bytes, directory: int) -> None:
    """Make the symbolic link to a socket, also where an earlier sandbox has left one whose socket is gone."""
    try:
        os.symlink(own, name, dir_fd=directory)
    except FileExistsError:
        try:
            earlier = os.readlink(name, dir_fd=directory)
        except OSError:
            earlier = b""
        if os.path.dirname(earlier) != OF_SOCKETS or os.path.lexists(earlier):
            raise
        os.unlink(name, dir_fd=directory)
        os.symlink(own, name, dir_fd=directory)


def _path_of(address: bytes) -> bytes:
    """Return the path in a unix(7) address, or nothing if the address is abstract, unnamed or not valid."""
    if address[:2] != _AF_UNIX.to_bytes(2, "little") or len(address) > 2 + _LONGEST_PATH:
        return b""
    return address[2:].partition(b"\0")[0]


def _unix_address(path: bytes) -> bytes:
    return _AF_UNIX.to_bytes(2, "little") + path + b"\0"


def _connect(fd: int, address: bytes) -> int:
    """Connect without blocking and return the error. The mode of the socket stays as the hook has set it."""
    if _number(fd, _SO_TYPE) not in (_STREAM, _SEQPACKET):
        return _errno_of("connect", fd, address)  # these never block
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & os.O_NONBLOCK:
        return _errno_of("connect", fd, address)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        return _errno_of("connect", fd, address)
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)


def _errno_of(name: str, fd: int, address: bytes) -> int:
    try:
        syscalls.call(name, fd, address, len(address))
    except SyscallError as error:
        return error.errno or EINVAL
    return 0


def _number(fd: int, option: int) -> int:
    return int.from_bytes(syscalls.socket_option(fd, _SOL_SOCKET, option, 4), "little")
