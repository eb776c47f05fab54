"""What one hook call may use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from . import checks

__all__ = ["UNIT", "Limits", "limit_values", "parse_limit"]

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
