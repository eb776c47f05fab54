"""The numbers of processes where /proc is that of a PID namespace above, as it is in a sandbox that shows the old one.

There /proc, and the files in it, have another number for each process than kill(2) and fork(2), pid_namespaces(7).
"""

from __future__ import annotations

if False:
    from collections.abc import Callable, Iterable


def from_proc(numbers: Iterable[int]) -> list[int]:
    """Return the numbers that processes have here, by those that /proc has for them."""
    level = len(_numbers(b"self"))
    if level == 1:
        return list(numbers)
    return [_numbers(b"%d" % number)[level - 1] for number in numbers]


def in_proc(pid: int, members: Callable[[int], Iterable[int]]) -> int:
    """Return the number that /proc has for a process that came from this one's parent, or 0 where it is not found.

    :param members: what says, by the numbers of /proc, which processes came from one
    """
    level = len(_numbers(b"self"))
    if level == 1:
        return pid
    (parent,) = _numbers(b"self", b"PPid:")
    for number in members(parent):
        try:
            if _numbers(b"%d" % number)[level - 1 :][:1] == [pid]:
                return number
        except OSError:
            continue  # it has just ended
    return 0


def _numbers(name: bytes, field: bytes = b"NSpid:") -> list[int]:
    """Return the numbers of a process from the PID namespace of /proc down to its own, proc_pid_status(5)."""
    with open(b"/proc/%b/status" % name, "rb") as file:
        return next(list(map(int, line.split()[1:])) for line in file if line.startswith(field))
