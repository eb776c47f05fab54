"""Which packages may begin together, by the memory that they are known to take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from packaging.utils import parse_wheel_filename

from ..files.cgroups import own_limits
from .requests import Task
from .resuming import Standing

__all__ = ["Admission", "available", "peaks_of"]

# The limit, the use and the part of it that the kernel gives back when it is asked to, cgroups(7).
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available() -> int | None:
    """Return how many bytes of memory a further program may take here, or ``None`` if nobody says so.

    It is the smaller one of what the host has available, proc_meminfo(5), and what is left in the own cgroup.
    """
    found = [*_left_in_cgroups()]
    try:
        lines = dict(line.split(":", 1) for line in _text("/proc/meminfo").splitlines() if ":" in line)
        found.append(int(lines["MemAvailable"].split()[0]) << 10)
    except (OSError, LookupError, ValueError):
        pass
    return min(found, default=None)


def _left_in_cgroups() -> Iterator[int]:
    for hierarchy in own_limits():
        level = hierarchy.source
        while level.startswith(hierarchy.target):
            for limit, usage, cache in _FILES:
                try:
                    whole, used = int(_text(f"{level}/{limit}")), int(_text(f"{level}/{usage}"))
                    stat = dict(line.split() for line in _text(f"{level}/memory.stat").splitlines())
                    yield max(0, whole - used + int(stat.get(cache, 0)))
                except (OSError, ValueError):
                    pass  # it is of the other version, or has no limit
            level = os.path.dirname(level)


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def peaks_of(tasks: Sequence[Task], records: Iterable[Standing]) -> dict[int, int]:
    """Return the memory that the builds of some tasks took in earlier runs, in bytes, by their numbers.

    :param records: those of any version of these packages
    """
    known: dict[str, int] = {}
    for record in records:
        name = parse_wheel_filename(os.path.basename(record.wheel.path))[0]
        known[name] = max(record.memory, known.get(name, 0))
    peaks = ((number, known.get(task.project[0], 0)) for number, task in enumerate(tasks) if task.project is not None)
    return {number: peak for number, peak in peaks if peak > 0}


class Admission:
    """Lets packages begin as long as their known peaks fit into the memory that there was in the beginning.

    :param peaks: the known peaks in bytes, by the numbers of the packages; others take nothing
    :param look: returns the memory that is available
    """

    def __init__(self, peaks: Mapping[int, int], look: Callable[[], int | None] = available) -> None:
        self._peaks = peaks
        self._look = look
        self._whole = look() if peaks else None
        self._running: set[int] = set()

    def admits(self, number: int) -> bool:
        """Return whether a package may begin now. One that may, and the only one, is noted as running."""
        peak = self._peaks.get(number, 0)
        if self._running and peak and not self._fits(peak):
            return False
        self._running.add(number)
        return True

    def _fits(self, peak: int) -> bool:
        """Return whether a peak fits beside those of the others, which may not have reached theirs yet."""
        now = self._look()
        if self._whole is None or now is None:
            return True
        reserved = sum(self._peaks.get(number, 0) for number in self._running)
        return peak <= now and reserved + peak <= self._whole

    def end(self, number: int) -> None:
        """Note that a package has ended, or waits."""
        self._running.discard(number)
