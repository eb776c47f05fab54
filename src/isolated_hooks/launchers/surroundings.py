"""What a child process inherits from the thread that starts it, besides descriptors, directory and variables.

A launch from a process that stays ready is only equal to one from a new child if both inherit the same. /proc tells,
proc(5), and the kernel compares the Landlock domains of two processes when one looks into the other, ptrace(2).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import suppress
from errno import EINVAL, ENOENT

from ..sandbox import syscalls

__all__ = ["Surroundings", "is_beside", "surroundings"]

Surroundings = tuple[object, ...]

# Of /proc/PID/status: what is the process's own, or counts something. A line that we do not know is compared.
_OWN = frozenset(
    b"Name State Tgid Ngid Pid PPid TracerPid FDSize NStgid NSpid NSpgid NSsid Kthread VmPeak VmSize VmLck VmPin VmHWM "
    b"VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib VmPTE VmSwap HugetlbPages CoreDumping untag_mask Threads "
    b"SigQ SigPnd ShdPnd SigCgt voluntary_ctxt_switches nonvoluntary_ctxt_switches x86_Thread_features".split()
)
# Not every kernel has all of these.
_FILES = (
    *("limits", "cgroup", "personality", "oom_score_adj", "loginuid", "sessionid", "../../coredump_filter"),
    *("attr/current", "attr/exec", "attr/fscreate", "attr/keycreate", "attr/sockcreate", "attr/apparmor/exec"),
)
_LINKS = tuple(f"ns/{n}" for n in "cgroup ipc mnt net pid_for_children time_for_children uts".split())
_USER = "ns/user"
# prctl(2): securebits, timer slack, and the bits of "memory deny write execute", since Linux 6.3.
_PRCTL = (27, 30, 66)


def surroundings() -> Surroundings:
    """Return what a child of this thread would inherit now.

    :raises OSError: /proc does not tell
    """
    here = "/proc/thread-self"
    root = _root()
    status = _read(f"{here}/status")
    lines = (line for line in status.splitlines() if line.partition(b":")[0] not in _OWN)
    return (
        root,
        *lines,
        *(_if_there(_read, f"{here}/{name}") for name in _FILES),
        *(_if_there(os.readlink, f"{here}/{name}") for name in (*_LINKS, _USER)),
        *(_number(functools.partial(syscalls.prctl_value, option)) for option in _PRCTL),
        _number(syscalls.io_priority),
        (os.getpgrp(), os.getsid(0)),
        (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, os.getpriority(os.PRIO_PROCESS, 0)),
    )


def is_beside(pid: int) -> bool:
    """Return whether this thread may look into a process, and both are in the same user namespace.

    A thread that Landlock or a user namespace has confined since it started that process may not, ptrace(2).
    """
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/{_USER}") == os.readlink(f"/proc/thread-self/{_USER}")
    return False


def _root() -> tuple[int, int, bytes]:
    """Return what tells the root directory from any other, chroot(2). Its path is ``/``, as seen from itself."""
    fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        lines = _read(f"/proc/thread-self/fdinfo/{fd}").splitlines()
    finally:
        os.close(fd)
    return status.st_dev, status.st_ino, b" ".join(line for line in lines if line.startswith(b"mnt_id:"))


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


def _if_there(ask: Callable[[str], object], path: str) -> object:
    try:
        return ask(path)
    except OSError as error:
        if error.errno not in (ENOENT, EINVAL):  # EINVAL: a security module that has no label for a process
            raise
        return None


def _number(ask: Callable[[], int]) -> int:
    """Return the result of a system call, or the negative number of its error."""
    try:
        return ask()
    except syscalls.SyscallError as error:
        return -(error.errno or 1)
