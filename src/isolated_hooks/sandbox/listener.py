"""Seccomp user notification, seccomp_unotify(2): a process waits in a system call until another one has answered it.

The process that becomes the hook installs the filter, and pid 1 takes over its listener.
"""

from __future__ import annotations

import fcntl
import os
from errno import EINTR, EINVAL, ENOENT, ESRCH

from . import syscalls
from .resolving import open_as
from .syscalls import SyscallError

_NEW_LISTENER = 1 << 3
# Since Linux 5.19: only a fatal signal cancels a notification that we have received. Without it, any signal does, and
# the kernel starts the call again, although we have already done its work.
_WAIT_KILLABLE = 1 << 5
# linux/seccomp.h. The size of each structure is part of the number.
_RECEIVE, _SEND, _IS_VALID, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082102, 0x40082104
_SYNC_WAKE_UP = 1  # since Linux 6.6: both sides run on one processor, so that neither waits for another one to wake up
_SIZE = 80
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE, since Linux 5.5
_PIDFD_THREAD = os.O_EXCL  # since Linux 6.9
_PID_MAX = 1 << 22  # the highest possible, proc_sys_kernel(5)


class Request:
    """A system call that waits for an answer, struct seccomp_notif.

    :ivar cookie: identifies the request to the kernel
    :ivar task: the thread that waits, in our PID namespace
    :ivar number: the number of the system call
    :ivar arguments: its arguments
    """

    def __init__(self, data: bytearray) -> None:
        words = memoryview(data).cast("Q").tolist()
        self.cookie = words[0]
        self.task = words[1] & 0xFFFFFFFF
        self.number = words[2] & 0xFFFFFFFF
        self.arguments = words[4:]


def install(program: bytes) -> int:
    """Install a filter for this process and its descendants. Return the descriptor of its listener.

    :raises SyscallError: EBUSY if an earlier filter of this process has a listener
    """
    try:
        return syscalls.seccomp_listener(program, _NEW_LISTENER | _WAIT_KILLABLE)
    except SyscallError as error:
        if error.errno != EINVAL:
            raise
    return syscalls.seccomp_listener(program, _NEW_LISTENER)


def wake_up_quickly(listener: int) -> None:
    """Let a call and its answer take less time, where the kernel knows how."""
    try:
        fcntl.ioctl(listener, _SET_FLAGS, _SYNC_WAKE_UP)
    except OSError:
        pass  # an older kernel


def receive(listener: int) -> Request | None:
    """Return the next request, or ``None`` if it has been cancelled. Call it only if the listener is readable."""
    data = bytearray(_SIZE)
    return Request(data) if _ask(listener, _RECEIVE, data) else None


def answer(listener: int, cookie: int, errno: int) -> bool:
    """Let the call return 0 or fail with ``errno``. Return False if the request has been cancelled."""
    response = cookie.to_bytes(8, "little") + bytes(8) + (-errno).to_bytes(4, "little", signed=True) + bytes(4)
    return _ask(listener, _SEND, response)


def go_on(listener: int, cookie: int) -> bool:
    """Let the kernel go on with the call. Return False if the request has been cancelled."""
    return _ask(listener, _SEND, cookie.to_bytes(8, "little") + bytes(12) + _CONTINUE.to_bytes(4, "little"))


def is_valid(listener: int, cookie: int) -> bool:
    """Return whether the request still waits, so that its thread id still means that thread."""
    return _ask(listener, _IS_VALID, cookie.to_bytes(8, "little"))


def _ask(listener: int, request: int, data: bytes | bytearray) -> bool:
    """Operate on a listener, seccomp_unotify(2). Return False if the request that this is about has been cancelled."""
    while True:
        try:
            fcntl.ioctl(listener, request, data)
        except OSError as error:
            if error.errno == ENOENT:
                return False
            if error.errno != EINTR:
                raise
        else:
            return True


def open_task(task: int) -> int:
    """Return a pidfd of a thread, or of its process on kernels without pidfds for threads.

    :raises OSError: it has ended
    """
    for flags in (_PIDFD_THREAD, 0):
        try:
            return os.pidfd_open(task, flags)
        except OSError as error:
            if error.errno not in (EINVAL, ENOENT):
                raise
    return os.pidfd_open(_process_of(task))


def _process_of(task: int) -> int:
    """Return the process of a thread. We do not ask /proc, which may belong to another PID namespace."""
    os.kill(task, 0)  # fails if the thread has ended; kill(2) takes any thread's id
    # A process is older than its threads, so its number is lower, except where the numbers have begun again since.
    for numbers in (range(task, 0, -1), range(task + 1, _PID_MAX)):
        for process in numbers:
            if syscalls.is_thread_of(process, task):
                return process
    raise SyscallError(ESRCH, "tgkill")


def take(pidfd: int, number: int) -> int:
    """Return a duplicate of a descriptor of another process, pidfd_getfd(2)."""
    return syscalls.call("pidfd_getfd", pidfd, number & 0xFFFFFFFF, 0)


class Handover:
    """How pid 1 gets the listener, between the fork and the start of the hook. The hook starts only after it."""

    def __init__(self) -> None:
        self._offers, self._offer = os.pipe()
        self._answers, self._answer = os.pipe()

    def offer(self, program: bytes) -> None:
        """Install the filter in the process that becomes the hook. Return when pid 1 has the listener.

        If pid 1 does not take it, this process ends.
        """
        try:
            number = install(program)
        except SyscallError:
            number = -1
        os.write(self._offer, number.to_bytes(4, "little", signed=True))
        os.close(self._answer)
        if not os.read(self._answers, 1):
            os._exit(1)

    def accept(self, pid: int) -> int | None:
        """Return the listener that the process offers, or ``None`` if the host keeps us from using one."""
        os.close(self._offer)
        os.close(self._answers)
        number = int.from_bytes(os.read(self._offers, 4) or b"\xff", "little", signed=True)
        os.close(self._offers)
        task = open_task(pid)
        try:
            syscalls.read_child(pid)
            return take(task, number) if number >= 0 else None
        except SyscallError:
            return None
        finally:
            os.close(task)

    def end(self, *, go: bool) -> None:
        """Let the hook start, or let its process end."""
        if go:
            os.write(self._answer, b"1")
        os.close(self._answer)


class Caller:
    """The thread of the hook that waits for an answer.

    :ivar pidfd: its descriptor
    """

    def __init__(self, task: int) -> None:
        self.pidfd = open_task(task)

    def close(self) -> None:
        """Close its descriptor."""
        os.close(self.pidfd)

    def open(self, path: bytes, directory: int | None = None, *, follow: bool = True) -> int:
        """Return an O_PATH descriptor of what ``path`` means in that thread.

        :param directory: where a relative path begins, if not in its working directory
        :param follow: follow a link at the end of the path too
        """
        process = self._proc()
        if path.startswith(b"/dev/fd/"):
            path = b"/proc/self/fd/" + path[len(b"/dev/fd/") :]
        begin = os.open(process + b"/cwd", os.O_PATH | os.O_CLOEXEC) if directory is None else directory
        try:
            return open_as(process, path, begin, follow=follow)
        finally:
            if directory is None:
                os.close(begin)

    def name(self) -> bytes:
        """Return the name of its program, proc_pid_comm(5): of a script, that of the script."""
        with open(self._proc() + b"/comm", "rb") as file:
            return file.read(64).rstrip(b"\n")

    def beginning(self, directory: int | None) -> bytes:
        """Return where its relative paths begin, as a path: its working directory, or a descriptor of its own."""
        return os.readlink(self._proc() + (b"/cwd" if directory is None else b"/fd/%d" % directory))

    def umask(self) -> int:
        """Return its umask, proc_pid_status(5)."""
        return int(_field(self._proc() + b"/status", b"Umask:"), 8)

    def _proc(self) -> bytes:
        """Return its directory in /proc, which may belong to another PID namespace, pidfd_open(2)."""
        return b"/proc/" + _field(b"/proc/self/fdinfo/%d" % self.pidfd, b"Pid:")


def _field(path: bytes, name: bytes) -> bytes:
    """Return the value of a line of a file in /proc.

    :raises OSError: it has none: the thread is ending
    """
    with open(path, "rb") as file:
        for line in file:
            if line.startswith(name):
                return line.split()[1]
    raise SyscallError(ESRCH, "open", path)
