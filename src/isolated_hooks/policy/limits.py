"""The limits on the resources of one hook call, one row each."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from ..frozen import dataclass
from . import checks
from .option import Option

__all__ = [
    "LIMITS",
    "WATCHER",
    "Limit",
    "Limits",
    "Unit",
    "limit_value",
    "limit_values",
    "parse_limit",
    "parse_limit_value",
]

_MIB = 1024**2
_GIB = 1024**3
_NONE = "none"
#: How the watching process enforces a limit, in words.
WATCHER = "the watching process checks ten times a second and ends the hook"


class Unit(enum.Enum):
    """The unit of a limit."""

    SECONDS = "seconds"
    BYTES = "bytes"
    NUMBER = "number"


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The row of one limit. Its default is in :class:`Limits`.

    :ivar unit: its unit; a limit in seconds raises ``HookTimeoutError``, any other ``HookKilledError``
    :ivar check: takes a label and a value, and returns the value in its normal form or raises ``PolicyError``
    :ivar optional: it may be ``None``, which means no limit
    :ivar rlimit: the resource limit, setrlimit(2), that enforces it for each process, without ``RLIMIT_``, or empty
    :ivar supervised: the launcher enforces it
    :ivar watched: the watching process enforces it, always or where the kernel cannot
    :ivar signal: the signal that the kernel sends to a process that exceeds ``rlimit``, or empty
    :ivar how: how it is enforced, in words; :mod:`isolated_hooks.run.means` has the words for this host
    :ivar exact: a hook cannot exceed it even for a moment
    :ivar option: an option of its own, besides ``--limit``
    """

    unit: Unit
    check: checks.Check
    how: str
    optional: bool = True
    rlimit: str = ""
    supervised: bool = False
    watched: bool = False
    signal: str = ""
    exact: bool = False
    option: Option | None = None

    def checked(self, label: str, value: object) -> object:
        """Return the value in its normal form.

        :raises PolicyError: the value is not a positive number of the right type
        """
        return None if value is None and self.optional else self.check(label, value)


#: The row of each limit, by its name.
LIMITS: Mapping[str, Limit] = {
    "wall_time": Limit(
        unit=Unit.SECONDS,
        check=checks.seconds,
        supervised=True,
        how="the launcher's clock: SIGTERM, and five seconds later SIGKILL to every process",
        exact=True,
        option=Option(flag="--time-limit", metavar="SECONDS", help="end each hook after SECONDS"),
    ),
    "idle_time": Limit(
        unit=Unit.SECONDS,
        check=checks.seconds,
        supervised=True,
        how="the launcher copies the output and notices a pause: SIGTERM, and five seconds later SIGKILL",
        exact=True,
    ),
    "cpu_time": Limit(
        unit=Unit.SECONDS,
        check=checks.whole_seconds,
        rlimit="CPU",
        watched=True,
        signal="SIGXCPU",
        how=f"RLIMIT_CPU for each process; for their sum, {WATCHER}",
    ),
    "memory": Limit(
        unit=Unit.BYTES,
        check=checks.size,
        # Without a memory cgroup, the launcher sets RLIMIT_DATA as well.
        watched=True,
        how=f"a memory cgroup; if the host allows none, RLIMIT_DATA for each process and, for their sum, {WATCHER}",
    ),
    "processes": Limit(
        unit=Unit.NUMBER,
        check=checks.count,
        rlimit="NPROC",
        watched=True,
        how=f"RLIMIT_NPROC; if the hook has no user namespace of its own, {WATCHER} too",
    ),
    "open_files": Limit(unit=Unit.NUMBER, check=checks.count, rlimit="NOFILE", how="RLIMIT_NOFILE", exact=True),
    "file_size": Limit(
        unit=Unit.BYTES, check=checks.size, rlimit="FSIZE", signal="SIGXFSZ", how="RLIMIT_FSIZE", exact=True
    ),
    "temp_size": Limit(
        unit=Unit.BYTES,
        check=checks.size,
        optional=False,
        watched=True,
        how=f"the size of a tmpfs; without a mount namespace, {WATCHER}",
    ),
    "output_size": Limit(
        unit=Unit.BYTES,
        check=checks.size,
        optional=False,
        watched=True,
        how=f"{WATCHER} at twice the limit, or 200,000 names; results are measured again while they are copied",
    ),
    "log_size": Limit(
        unit=Unit.BYTES,
        check=checks.size,
        supervised=True,
        how="the launcher copies the output, counts it and ends the hook",
        exact=True,
    ),
    "free_space": Limit(unit=Unit.BYTES, check=checks.size, watched=True, how=f"with statvfs(3), {WATCHER}"),
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The resources that one hook call may use. ``None`` means no limit.

    :ivar wall_time: seconds on the clock
    :ivar idle_time: seconds without a byte on stdout or stderr
    :ivar cpu_time: whole seconds of processor time, both for each process and for all together
    :ivar memory: bytes of memory of all processes together
    :ivar processes: processes and threads at one time
    :ivar open_files: descriptors of one process
    :ivar file_size: bytes of one file
    :ivar temp_size: bytes of all temporary files together
    :ivar output_size: bytes of all results of the hook together, which have at most 200,000 names
    :ivar log_size: bytes on stdout and stderr together
    :ivar free_space: bytes that stay free on each filesystem that the hook writes to
    :raises PolicyError: a limit is not a positive number of the right type
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
        for name, limit in LIMITS.items():
            object.__setattr__(self, name, limit.checked(f"policy: limits.{name}", getattr(self, name)))

    def present(self) -> dict[str, float | int]:
        """Return the limits that are not ``None``, by name."""
        return {name: getattr(self, name) for name in LIMITS if getattr(self, name) is not None}


def limit_values(label: str, value: object, spell: Callable[[str], str]) -> dict[str, object]:
    """Return the checked limits of a table, as arguments of :class:`Limits`.

    :param label: the name of the table; an error text begins with it
    :param spell: returns the key of a limit
    :raises PolicyError: a key or a value is wrong; the text names the limit, the expected value and the actual value
    """
    table = checks.mapping(label, value)
    keys = checks.named(table, LIMITS, label, spell)
    return {name: limit_value(f"{label}.{key}", name, number) for name, (key, number) in keys.items()}


def limit_value(label: str, name: str, value: object) -> object:
    """Return the checked value of one limit of a table.

    A table may use a size with a unit, and ``"none"`` for no limit, because TOML has no null.

    :param label: the name of the value; an error text begins with it
    :param name: the name of the limit in Python
    :raises PolicyError: the value is wrong; the text has the expected value and the actual value
    """
    limit = LIMITS[name]
    if value == _NONE and limit.optional:
        return None
    if isinstance(value, str) and limit.unit is Unit.BYTES:
        return checks.parse_size(value, label=label)
    return limit.checked(label, value)


def parse_limit(text: str) -> dict[str, object]:
    """Return one limit of a command line, ``NAME=VALUE``, as an argument of :class:`Limits`.

    :raises PolicyError: the text has another form, the name is unknown, or the value is wrong
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise checks.wrong("--limit", text, "NAME=VALUE, such as wall-time=3600 or memory=8G")
    (attribute,) = checks.named({name: value}, LIMITS, "--limit", checks.hyphened)
    return {attribute: parse_limit_value(f"--limit {name}", attribute, value)}


def parse_limit_value(label: str, name: str, text: str) -> object:
    """Return the value of one limit of a command line.

    :param label, name: as :func:`limit_value`
    :raises PolicyError: the value is wrong
    """
    return limit_value(label, name, text if LIMITS[name].unit is Unit.BYTES else _number(text))


def _number(text: str) -> object:
    for number_type in (int, float):
        try:
            return number_type(text)
        except ValueError:
            continue
    return text
