"""What one hook call may use: the limits, one row each."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping

from . import checks
from .option import Option

__all__ = ["LIMITS", "LOOK", "Limit", "Limits", "Unit", "limit_value", "limit_values", "parse_limit"]

_MIB = 1024**2
_GIB = 1024**3
_NONE = "none"
#: What the watching process does about a limit, in words.
LOOK = "the watching process looks ten times a second and ends the hook"


class Unit(enum.Enum):
    """In what a limit is counted."""

    SECONDS = "seconds"
    BYTES = "bytes"
    NUMBER = "number"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limit:
    """All there is to know of one limit but its default, which :class:`Limits` has.

    :ivar unit: in what it is counted; a limit of seconds raises ``HookTimeoutError``, any other ``HookKilledError``
    :ivar check: returns its value in the one form, or raises PolicyError
    :ivar optional: it may be ``None``, which is no limit
    :ivar rlimit: the resource limit by which the kernel keeps it for each process, without ``RLIMIT_``, or empty
    :ivar supervised: the launcher keeps it
    :ivar watched: the watching process keeps it, or does so where the kernel cannot
    :ivar signal: the signal by which the kernel ends a process that meets ``rlimit``, or empty
    :ivar how: the means by which it is kept, in words; :mod:`isolated_hooks.run.means` knows those of this host
    :ivar exact: it cannot be exceeded for a moment, and what it stops sees an error or a signal of the kernel
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
        """Return the value in its one form.

        :raises PolicyError: it is not a positive number of its kind
        """
        return None if value is None and self.optional else self.check(label, value)


#: The row of each limit, by its name.
LIMITS: Mapping[str, Limit] = {
    "wall_time": Limit(
        unit=Unit.SECONDS,
        check=checks.seconds,
        supervised=True,
        how="the launcher's clock: SIGTERM, five seconds later SIGKILL of every process",
        exact=True,
        option=Option(flag="--time-limit", metavar="SECONDS", number=True, help="end a hook after SECONDS"),
    ),
    "idle_time": Limit(
        unit=Unit.SECONDS,
        check=checks.seconds,
        supervised=True,
        how="the launcher copies the output and sees it pause: SIGTERM, five seconds later SIGKILL",
        exact=True,
    ),
    "cpu_time": Limit(
        unit=Unit.SECONDS,
        check=checks.whole_seconds,
        rlimit="CPU",
        watched=True,
        signal="SIGXCPU",
        how=f"RLIMIT_CPU for each process; for their sum {LOOK}",
    ),
    "memory": Limit(
        unit=Unit.BYTES,
        check=checks.size,
        # Where there is no memory cgroup, the child has RLIMIT_DATA as well.
        watched=True,
        how=f"a memory cgroup; where there is none, RLIMIT_DATA for each process, and for their sum {LOOK}",
    ),
    "processes": Limit(
        unit=Unit.NUMBER,
        check=checks.count,
        rlimit="NPROC",
        watched=True,
        how=f"RLIMIT_NPROC; without a user namespace of the hook's own {LOOK} too",
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
        how=f"the size of a tmpfs; without a mount namespace {LOOK}",
    ),
    "output_size": Limit(
        unit=Unit.BYTES,
        check=checks.size,
        optional=False,
        watched=True,
        how=f"{LOOK} at twice the limit; what is handed over is measured when it is copied",
    ),
    "log_size": Limit(
        unit=Unit.BYTES,
        check=checks.size,
        supervised=True,
        how="the launcher copies the output, counts it and ends the hook",
        exact=True,
    ),
    "free_space": Limit(unit=Unit.BYTES, check=checks.size, watched=True, how=f"{LOOK}, by statvfs(3)"),
}


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
        for name, limit in LIMITS.items():
            object.__setattr__(self, name, limit.checked(f"policy: limits.{name}", getattr(self, name)))

    def present(self) -> dict[str, float | int]:
        """Return the limits that there are, by name, without those that are ``None``."""
        return {name: getattr(self, name) for name in LIMITS if getattr(self, name) is not None}


def limit_values(label: str, value: object, spell: Callable[[str], str]) -> dict[str, object]:
    """Return the checked limits of a table, as arguments of :class:`Limits`.

    :param label: how to call the table in an error
    :param spell: how a limit's name is spelled there
    :raises PolicyError: names the limit, what was given and what is accepted
    """
    table = checks.mapping(label, value)
    named = checks.named(table, LIMITS, label, spell)
    return {name: limit_value(f"{label}.{key}", name, number) for name, (key, number) in named.items()}


def limit_value(label: str, name: str, value: object) -> object:
    """Return the checked value of one limit of a table.

    A table may spell a size with a unit, and ``"none"`` where there is to be no limit: TOML has no null.

    :raises PolicyError: begins with the label, and says what was given and what is accepted
    """
    limit = LIMITS[name]
    if value == _NONE and limit.optional:
        return None
    if isinstance(value, str) and limit.unit is Unit.BYTES:
        return checks.parse_size(value, label=label)
    return limit.checked(label, value)


def parse_limit(text: str) -> dict[str, object]:
    """Return one limit of a command line, ``NAME=VALUE``, as an argument of :class:`Limits`.

    :raises PolicyError: it is not of that form, the name is unknown, or the value is wrong
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise checks.wrong("--limit", text, "NAME=VALUE, such as wall-time=3600 or memory=8G")
    limit = LIMITS.get(name.replace("-", "_"))
    number = value if limit is None or limit.unit is Unit.BYTES else _number(value)
    return limit_values("--limit", {name: number}, checks.hyphened)


def _number(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
