"""How the processes of a sandbox end: with their parent, and with the hook."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing signal imports enum: ten milliseconds
import os

from . import pids, syscalls


def die_with_parent(leash: int) -> None:
    """Arm the parent-death signal. End at once if the parent has ended before that, prctl(2)."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGKILL)
    if not is_held(leash):
        os._exit(1)


def is_held(fd: int) -> bool:
    """Return whether a process holds the other end of a pipe. Nobody writes to that pipe."""
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 1) != b""
    except BlockingIOError:
        return True


def children() -> list[int]:
    """Return the process ids of this thread's children, as this process's /proc or PID namespace counts them."""
    with open("/proc/thread-self/children", "rb") as file:
        return pids.from_proc(map(int, file.read().split()))


def end_scoped() -> None:
    """Kill every process that this process may signal, except itself, in one step that no fork can outrun, kill(2).

    Call it only if Landlock lets this process signal nothing beyond the sandbox, for want of a PID namespace. The
    parent is beyond it: if we may signal that, we do nothing, because we would end the caller's processes too.
    """
    try:
        os.kill(os.getppid(), 0)
    except PermissionError:
        pass
    else:
        return
    try:
        os.kill(-1, _signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # no process is left


def end_children() -> None:
    """Kill and reap children until none is left. This process is a subreaper, so it inherits every orphaned process."""
    while True:
        for pid in children():
            os.kill(pid, _signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
