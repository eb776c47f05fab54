"""What one hook call may use, and by which means of the host each limit is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from . import policychecks as checks

__all__ = ["UNIT", "Limits", "Means", "limit_values", "means_of", "parse_limit"]

_MIB = 1024**2
_GIB = 1024**3

_CHECKS: Mapping[str, checks.Check] = {
    "wall_time": checks.optional(checks.seconds),
    "idle_time": checks.optional(checks.seconds),
    "cpu_time": checks.optional(checks.whole_seconds),
    "memory": checks.optional(checks.size),
    "processes": checks.optional(checks.count),
    "open_files": checks.optional(checks.count),
    "file_size": checks.optional(checks.size),
    "temp_size": checks.size,
    "output_size": checks.size,
    "log_size": checks.optional(checks.size),
    "free_space": checks.optional(checks.size),
}
#: In what each limit is counted: ``"seconds"``, ``"bytes"`` or ``"number"``.
UNIT: Mapping[str, str] = {
    **dict.fromkeys(_CHECKS, "bytes"),
    **dict.fromkeys(("wall_time", "idle_time", "cpu_time"), "seconds"),
    **dict.fromkeys(("processes", "open_files"), "number"),
}
_OPTIONAL = frozenset(_CHECKS) - {"temp_size", "output_size"}
_NONE = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one hook call may use. ``None`` is no limit.

    :ivar wall_time: seconds on the clock
    :ivar idle_time: seconds without a byte on stdout or stderr
    :ivar cpu_time: whole seconds of processor time, of one process and of all together
    :ivar memory: bytes of memory of all processes together
    :ivar processes: processes and threads at one time
    :ivar open_files: descriptors of one process
    :ivar file_size: bytes of one file
    :ivar temp_size: bytes of all temporary files together
    :ivar output_size: bytes of everything that the hook hands over
    :ivar log_size: bytes on stdout and stderr together
    :ivar free_space: bytes that stay free on each file system that the hook writes to
    :raises PolicyError: where a limit is not a positive number of its kind
    """

    wall_time: float | None = None
    idle_time: float | None = None
    cpu_time: int | None = None
    memory: int | None = None
    processes: int | None = 4096
    open_files: int | None = None
    file_size: int | None = None
    temp_size: int = 4 * _GIB
    output_size: int = 4 * _GIB
    log_size: int | None = _GIB
    free_space: int | None = 256 * _MIB

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(f"policy: limits.{name}", getattr(self, name)))


def limit_values(label: str, value: object, spell: Callable[[str], str]) -> dict[str, object]:
    """Return the checked limits of a table, as arguments of :class:`Limits`.

    A table may spell a size with a unit, and ``"none"`` where there is to be no limit: TOML has no null.

    :param label: how to call the table in an error
    :param spell: how a limit's name is spelled there
    :raises PolicyError: names the limit, what was given and what is accepted
    """
    table = checks.mapping(label, value)
    named = checks.named(table, _CHECKS, label, spell)
    return {name: _limit_value(f"{label}.{key}", name, limit) for name, (key, limit) in named.items()}


def _limit_value(label: str, name: str, value: object) -> object:
    if value == _NONE and name in _OPTIONAL:
        return None
    if isinstance(value, str) and UNIT[name] == "bytes":
        return checks.parse_size(value, label=label)
    return _CHECKS[name](label, value)


def parse_limit(text: str) -> dict[str, object]:
    """Return one limit of a command line, ``NAME=VALUE``, as an argument of :class:`Limits`.

    :raises PolicyError: it is not of that form, the name is unknown, or the value is wrong
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise checks.wrong("--limit", text, "NAME=VALUE, such as wall-time=3600 or memory=8G")
    number = _number(value) if UNIT.get(name.replace("-", "_")) in ("seconds", "number") else value
    return limit_values("--limit", {name: number}, checks.hyphened)


def _number(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@dataclasses.dataclass(frozen=True)
class Means:
    """How a limit is kept on a host.

    :ivar value: the limit's value under the policy, ``None`` where there is no limit
    :ivar how: the means of the kernel, or the process that looks, in words
    :ivar exact: it cannot be exceeded for a moment, and what it stops sees an error or a signal of the kernel
    """

    value: float | int | None
    how: str
    exact: bool


_LOOK = "the watching process looks ten times a second and ends the hook"
_ALWAYS: Mapping[str, tuple[str, bool]] = {
    "wall_time": ("the launcher's clock: SIGTERM, five seconds later SIGKILL of every process", True),
    "idle_time": ("the launcher copies the output and sees it pause: SIGTERM, five seconds later SIGKILL", True),
    "cpu_time": (f"RLIMIT_CPU for each process; for their sum {_LOOK}", False),
    "open_files": ("RLIMIT_NOFILE", True),
    "file_size": ("RLIMIT_FSIZE", True),
    "output_size": (f"{_LOOK} at twice the limit; what is handed over is measured when it is copied", False),
    "log_size": ("the launcher copies the output, counts it and ends the hook", True),
    "free_space": (f"{_LOOK}, by statvfs(3)", False),
}


def means_of(limits: Limits, *, identity: str, root: bool, facts: Mapping[str, tuple[int, str]]) -> dict[str, Means]:
    """Return by which means each limit is kept.

    :param identity: how the hook gets a user of its own, the value of a :class:`~isolated_hooks.plan.Identity`
    :param root: the caller is root
    :param facts: what the host offers, as :func:`isolated_hooks.host.facts`
    """
    found = {**_ALWAYS, "memory": _memory(facts), "processes": _processes(identity, root), "temp_size": _temp(identity)}
    return {name: Means(getattr(limits, name), *found[name]) for name in _CHECKS}


def _memory(facts: Mapping[str, tuple[int, str]]) -> tuple[str, bool]:
    if facts.get("memory cgroup", (False, ""))[0]:
        return "a memory cgroup of the hook's own; where the kernel kills a process in it, the hook is ended", True
    what = "the proportional set sizes of all processes; memory that no process has mapped is not seen"
    return f"RLIMIT_DATA for each process; for their sum {_LOOK}: {what}", False


def _processes(identity: str, root: bool) -> tuple[str, bool]:
    if identity == "shared" or (identity == "confined" and root):
        return f"{_LOOK}: RLIMIT_NPROC does not bind root", False
    if identity == "confined":
        return f"RLIMIT_NPROC, with room for the caller's other processes, which it counts as well; {_LOOK}", False
    if identity == "separate":
        return "RLIMIT_NPROC, which counts the processes of the throw-away uid", True
    return "RLIMIT_NPROC, which counts the processes of the sandbox's user namespace", True


def _temp(identity: str) -> tuple[str, bool]:
    if identity in ("confined", "separate"):
        return f"{_LOOK}: without a mount namespace temporary files are in the workspace, on disk", False
    if identity == "shared":
        return f"the size of a tmpfs; where user namespaces get no map, {_LOOK}", False
    return "the size of a tmpfs, and a million files", True
