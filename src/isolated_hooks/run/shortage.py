"""Which limit a set-up ran into, with its value."""

from __future__ import annotations

import errno
import os
import resource

from ..sandbox.identity import FIRST_UID, LAST_UID

__all__ = ["shortage_of"]


def shortage_of(syscall: str, number: int, *, stage: str = "", processes: int | None = None, root: str = "/") -> str:
    """Return the reason, in words, for a shortage that has the error EAGAIN; an empty text for anything else.

    :param stage: the step of the set-up that failed
    :param processes: how many processes the policy allows a sandbox, if it has such a limit
    :param root: the directory in which /proc and /sys lie
    """
    root = root.rstrip("/")
    if (stage, syscall, number) == ("identity", "", errno.EAGAIN):
        count = LAST_UID - FIRST_UID + 1
        return f"all {count} throw-away uids are in use, {FIRST_UID} to {LAST_UID}: run fewer hooks at once"
    if (syscall, number) != ("fork", errno.EAGAIN):
        return ""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    known = [] if processes is None else [f"the sandbox may have {processes} processes (limits: processes)"]
    known += [] if soft == resource.RLIM_INFINITY else [f"this user may have {soft} processes (ulimit -u)"]
    known += _of_cgroups(root)
    text = _read(f"{root}/proc/sys/kernel/threads-max")
    known += [f"the host may have {text} threads (kernel.threads-max)"] if text else []
    return f"{os.strerror(number)}: no process could be started, in several attempts; {', '.join(known)}"


def _of_cgroups(root: str) -> list[str]:
    """Return the limits of this process's cgroup and of those above it, cgroups(7), version 2."""
    line = next((line for line in _read(f"{root}/proc/self/cgroup").splitlines() if line.startswith("0::")), "")
    group, limits = line[3:], []
    while group.startswith("/"):
        directory = f"{root}/sys/fs/cgroup{group}".rstrip("/")
        limit = _read(f"{directory}/pids.max")
        if limit.isdigit():
            used = _read(f"{directory}/pids.current")
            limits.append(f"its cgroup {group} may have {limit} and has {used or 'an unknown number'} (pids.max)")
        if group == "/":
            break
        group = os.path.dirname(group)
    return limits


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(4096).strip()
    except OSError:
        return ""
