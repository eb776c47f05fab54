"""The limits of this process's own cgroups, cgroups(7), as a build reads them to choose a heap or a number of jobs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator

from ..frozen import dataclass
from ..sandbox.mounts import mounted

__all__ = ["Hierarchy", "own_limits"]

_TOP = "/sys/fs/cgroup"
_UNLIMITED = 1 << 60  # version 1 has no word for it, but the largest number of whole pages
_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids")
# The files whose smallest number, of the cgroup and of those above it, is the limit.
_SMALLEST = {
    1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "pids.max"),
    2: ("memory.max", "memory.high", "memory.swap.max", "pids.max"),
}
# Files of the cgroup itself.
# They count only beside files with limits: the hierarchy of version 2 has none where version 1 has the controllers.
_OWN = {
    1: ("cpu.shares", "cpuset.cpus", "cpuset.effective_cpus", "cpuset.mems", "cpuset.effective_mems"),
    2: ("cgroup.controllers", "cpu.weight", "cpuset.cpus.effective", "cpuset.mems.effective"),
}


@dataclass(frozen=True)
class Hierarchy:
    """The own cgroup in one hierarchy.

    :ivar target: where the hierarchy is mounted
    :ivar source: the directory of the cgroup
    :ivar files: the name and the content of each file with a limit, sorted
    :ivar limited: some limit is smaller than the host
    """

    target: str
    source: str
    files: tuple[tuple[str, str], ...]
    limited: bool

    def with_memory(self, limit: int) -> Hierarchy:
        """Return the same with no more memory than ``limit`` bytes."""
        names = [name for name, _ in self.files if name in ("memory.limit_in_bytes", "memory.max")]
        if not names:
            return self
        smaller = {name: str(min(limit, _number(dict(self.files)[name]))) + "\n" for name in names}
        return dataclasses.replace(self, files=_with_stat({**dict(self.files), **smaller}), limited=True)


def own_limits() -> tuple[Hierarchy, ...]:
    """Return the own cgroups with their limits: none if no cgroup is visible."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError:
        return ()
    limits = (_limits_of(*place) for place in _places(text))
    return tuple(own for own in limits if own.files or "cpuacct" in own.target)


@functools.lru_cache(maxsize=4)
def _places(text: str) -> tuple[tuple[int, str, str], ...]:
    """Return the version, the mount point and our directory of each hierarchy, by the text of proc_pid_cgroup(5)."""
    paths = {names: path for _, names, path in (line.split(":", 2) for line in text.splitlines() if ":" in line)}
    return tuple(_found(paths))


def _found(paths: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    with contextlib.suppress(OSError):
        for mount in mounted():
            point, root = os.fsdecode(mount.mount_point), os.fsdecode(mount.root).rstrip("/")
            settings = {os.fsdecode(setting) for setting in mount.settings}
            version = {b"cgroup": 1, b"cgroup2": 2}.get(mount.kind)
            names = next((n for n in paths if n and settings.issuperset(n.split(","))), None) if version == 1 else ""
            if version is None or names is None or not f"{point}/".startswith(f"{_TOP}/"):
                continue
            path = paths.get(names)
            useful = version == 2 or not settings.isdisjoint(_CONTROLLERS)
            if useful and path is not None and f"{path}/".startswith(f"{root}/"):
                yield version, point, point + path[len(root) :].rstrip("/")


def _limits_of(version: int, target: str, source: str) -> Hierarchy:
    levels = [source]
    while levels[-1] != target:
        levels.append(os.path.dirname(levels[-1]))
    files: dict[str, str] = {}
    limited = False
    for name in _SMALLEST[version]:
        numbers = [text for level in levels if (text := _text(f"{level}/{name}")) is not None]
        if numbers:
            files[name] = min(numbers, key=_number)
            limited = limited or _number(files[name]) < _UNLIMITED
    quota = _quota(version, levels)
    files |= quota
    own = _OWN[version] if version == 1 or files else ()
    files |= {name: text for name in own if (text := _text(f"{source}/{name}")) is not None}
    limited = limited or any(not text.startswith(("max", "-1")) for text in list(quota.values())[:1])
    return Hierarchy(target, source, _with_stat(files), limited)


def _quota(version: int, levels: list[str]) -> dict[str, str]:
    """Return the files with the smallest share of processor time."""
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if version == 1 else ("cpu.max",)
    values = [[_text(f"{level}/{name}") or "" for name in names] for level in levels]
    complete = [texts for texts in values if all(texts)]
    return dict(zip(names, min(complete, key=lambda texts: _share("".join(texts))), strict=True)) if complete else {}


def _share(text: str) -> float:
    quota, _, period = text.partition("\n") if "\n" in text.rstrip() else text.partition(" ")
    try:
        return int(quota) / int(period) if int(quota) > 0 else float("inf")
    except (ValueError, ZeroDivisionError):
        return float("inf")


def _with_stat(files: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Add what version 1 says about the cgroups above."""
    if "memory.limit_in_bytes" in files:
        limit, swap = (files.get(name, f"{_UNLIMITED}\n") for name in _SMALLEST[1][:2])
        stat = f"hierarchical_memory_limit {limit}hierarchical_memsw_limit {swap}"
        files = {**files, "memory.stat": stat, "memory.use_hierarchy": "1\n"}
    return tuple(sorted(files.items()))


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return _UNLIMITED


def _text(path: str) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a file object takes twice as many system calls
        try:
            return os.read(fd, 4096).decode("ascii")
        finally:
            os.close(fd)
    except (OSError, ValueError):
        return None
