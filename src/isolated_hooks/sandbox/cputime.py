"""The processor time of all processes of a sandbox together, also of those that nobody has waited for.

The kernel adds the time of a process to its parent's when the parent waits for it. If the parent ignores SIGCHLD, it is
lost: nobody waits then, getrusage(2). So a sum over the processes that exist counts too little, and a hook can choose
by how much. A counter of perf_event_open(2) that processes inherit loses nothing: the kernel adds what a child has
counted when the child ends. It needs no privilege where /proc/sys/kernel/perf_event_paranoid is at most 2, the kernel's
default. Some distributions raise that, and the seccomp profiles of containers refuse the call.
"""

from __future__ import annotations

import os

from . import syscalls

if False:
    from collections.abc import Iterable

# struct perf_event_attr up to its first version, of 64 bytes: PERF_TYPE_SOFTWARE and PERF_COUNT_SW_TASK_CLOCK.
_SOFTWARE, _TASK_CLOCK, _SIZE = 1, 1, 64
# The bits disabled, inherit, exclude_kernel, exclude_hv and enable_on_exec. The clock of a task counts its time in the
# kernel all the same, but without the third bit an unprivileged process gets EACCES (both tried on Linux 6.18).
_FLAGS = 1 << 0 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 12
_NANOSECONDS = 10**9


def open_counter() -> int:
    """Return a descriptor that counts for every child of this process that calls execve(2) from now on.

    :raises OSError: the host refuses it
    """
    words = (_SOFTWARE | _SIZE << 32, _TASK_CLOCK, 0, 0, 0, _FLAGS, 0, 0)
    return syscalls.perf_event_open(b"".join(word.to_bytes(8, "little") for word in words))


def counted(counter: int) -> float:
    """Return the seconds that a counter has counted."""
    return int.from_bytes(os.read(counter, 8), "little") / _NANOSECONDS


class Sum:
    """The sum over the processes that exist, for a host without such counters.

    It remembers what a process had used when it was seen for the last time, and looks for that in what its ancestors
    have gained meanwhile. The time of a process that nobody waits for, after it was seen last, is lost all the same.
    """

    def __init__(self) -> None:
        self._before: dict[tuple[int, int], tuple[int, int]] = {}
        self._debt = 0
        self._lost = 0

    def add(self, processes: Iterable[tuple[int, int, int, int]]) -> int:
        """Return the sum, in the unit of the numbers.

        :param processes: the processes that exist: id, start time, the time it has used, and that of the children it
            has waited for
        """
        now = {(pid, start): (own, children) for pid, start, own, children in processes}
        gone = sum(sum(times) for key, times in self._before.items() if key not in now)
        gained = sum(children - self._before.get(key, (0, children))[1] for key, (_, children) in now.items())
        # We do not see all processes at one moment: a parent may get the time of a child after we have looked at the
        # parent, and before we look for the child. So what is missing may still turn up at the next look.
        self._lost += max(0, self._debt - max(0, gained - gone))
        self._debt = max(0, gone - gained)
        self._before = now
        return sum(own + children for own, children in now.values()) + self._lost
