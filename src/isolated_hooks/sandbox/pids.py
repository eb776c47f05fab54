"""The numbers of processes where /proc is that of a PID namespace above, as it is in a sandbox that shows the old one.

There /proc, and the files in it, have another number for each process than kill(2) and fork(2), pid_namespaces(7).
"""

from __future__ import annotations

import os
from errno import ESRCH

if False:
    from collections.abc import Callable, Iterable

# Who loses its parent while the tree is walked may be missed in one walk.
_TRIES = 10


def from_proc(numbers: Iterable[int]) -> list[int]:
    """Return the numbers that processes have here, by those that /proc has for them."""
    level = len(_numbers(b"self"))
    if level == 1:
        return list(numbers)
    return [_numbers(b"%d" % number)[level - 1] for number in numbers]


def in_proc(pid: int, members: Callable[[int], Iterable[int]]) -> int:
    """Return the number that /proc has for a process that came from this one's parent, or 0 where it has ended.

    :param members: what says, by the numbers of /proc, which processes came from one
    :raises OSError: it is there and cannot be found, so nobody could watch it
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
    """Return the numbers of a process from the PID namespace of /proc down to its own, proc_pid_status(5)."""
    with open(b"/proc/%b/status" % name, "rb") as file:
        return next(list(map(int, line.split()[1:])) for line in file if line.startswith(field))
