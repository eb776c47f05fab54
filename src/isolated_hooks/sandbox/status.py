"""The status file: the child's messages to the parent, in a file of the workspace that the sandbox cannot see.

It holds a marshalled dictionary, because importing :mod:`json` costs each hook ten milliseconds. Both ends use the same
interpreter.

============  =========================================================================================
``pid``       pid 1 of the sandbox, or the guard if there is no PID namespace: the process that ends last; ``born``:
              when it was started, see :func:`start_time`
``files_of``  the throw-away uid that owns the hook's files, if the parent has to give them to the caller afterwards;
              ``confined``: there is no PID namespace, so only this uid identifies processes that the hook left behind
``cgroups``   the directory that may contain the hook's own cgroup, which the parent removes at the end
``dropped``   the names of the environment variables that the child dropped
``degraded``  the protections that are weaker than planned, each with the reason
``tried``     of a hook that failed: up to 16 destinations that it could not reach, each with its family, address, port
              and errno; ``full``: its full temporary directories, each with the size of its filesystem in bytes;
              ``names``: up to 16 names of hosts that it looked up, where no name server is within its reach
``seen``      of an observed hook: tuples of the kind of a record, what the hook asked for, who asked first, and how
              often; see :mod:`.observing`
``running``   true, once the hook has started
``state``     at the end ``failed`` (set-up; with ``stage``, ``syscall``, ``path``, ``errno``, and perhaps ``reason`` in
              words) or ``exited``
``code``      of an ``exited`` hook: its exit code, or minus the number of the signal that ended it
``usage``     seconds in user mode and in the kernel, and the largest resident set in bytes, of all processes together
``home``      the names that the hook left in its HOME, if the plan asks for them
``limit``     the limit that ended the hook, or an empty text
============  =========================================================================================
"""

from __future__ import annotations

import marshal
import os

if False:
    from typing import Any


class StatusFile:
    """The child's end. The child opens the file before the old root goes away, and rewrites all of it each time."""

    def __init__(self, path: bytes) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._facts: dict[str, Any] = {}

    def write(self, **facts: Any) -> None:
        """Add to the earlier facts and write them all."""
        self._facts.update(facts)
        data = marshal.dumps(self._facts)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)


def read_status(path: str) -> dict[str, Any]:
    """Return the child's facts, or an empty dictionary if there is no status file or it is not complete."""
    try:
        with open(path, "rb") as file:
            facts = marshal.loads(file.read())
    except (OSError, ValueError, EOFError, TypeError):
        return {}
    return facts if isinstance(facts, dict) else {}


def start_time(pid: int) -> bytes:
    """Return the start time of a process in ticks since boot, proc_pid_stat(5). It tells reused pids apart.

    The result is empty if the process is gone or /proc is mounted with hidepid. Then nobody waits for this pid.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19]
    except (OSError, IndexError):
        return b""
