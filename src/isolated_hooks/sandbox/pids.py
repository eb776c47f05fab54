"""Process ids when /proc belongs to a PID namespace above ours, as in a sandbox that shows the host's old /proc.

There /proc and its files use other ids than kill(2) and fork(2) do, pid_namespaces(7).
"""

from __future__ import annotations

import os
from errno import ESRCH

if False:
    from collections.abc import Callable, Iterable

# One walk may miss a process that loses its parent during the walk.
_TRIES = 10


def from_proc(numbers: Iterable[int]) -> list[int]:
    """Return the ids that processes have in our PID namespace, for the ids that /proc uses."""
    level = len(_numbers(b"self"))
    if level == 1:
        return list(numbers)
    return [_numbers(b"%d" % number)[level - 1] for number in numbers]


def in_proc(pid: int, members: Callable[[int], Iterable[int]]) -> int:
    """Return the id that /proc uses for a descendant of our parent, or 0 if the descendant has ended.

    :param members: returns a process and its descendants, all by the ids that /proc uses
    :raises OSError: the process exists, but we cannot find it, so nobody could watch it
    """
    level = len(_numbers(b"self"))
    if level == 1:
        return pid
    (parent,) = _numbers(b"self", b"PPid:")
    for _ in range(_TRIES):
        for number in members(parent):
            try:
                if _numbers(b"%d" % number)[level - 1 :][:1] == [pid]:
                    return number
            except OSError:
                continue  # it has just ended
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return 0
    raise OSError(ESRCH, os.strerror(ESRCH))


def _numbers(name: bytes, field: bytes = b"NSpid:") -> list[int]:
    """Return the ids of a process in each PID namespace from that of /proc down to its own, proc_pid_status(5)."""
    with open(b"/proc/%b/status" % name, "rb") as file:
        return next(list(map(int, line.split()[1:])) for line in file if line.startswith(field))
