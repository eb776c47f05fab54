"""What the pips of one command record for the first: pip runs further pips, for build requirements and ``--python``.

The records are in a file without a name that the first process holds. The others open it by way of ``/proc``, which a
hook cannot: it sees no process outside.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable
from types import TracebackType
from typing import Any, cast

from ... import errors
from ...errors import IsolatedHooksError
from ...report import HookReport

__all__ = ["Problem", "Record", "Records", "add_record"]


@dataclasses.dataclass(frozen=True)
class Problem:
    """An error of this package that a hook call ended with, in whichever process.

    :ivar text: what it says
    :ivar kind: its class
    """

    text: str
    kind: type[IsolatedHooksError]

    def error(self) -> IsolatedHooksError:
        """Return an error of that class, and of its text alone: what else it had was left behind in that process."""
        text = self.text
        kind = type(self.kind.__name__, (self.kind,), {"__str__": lambda _: text})
        return cast(IsolatedHooksError, kind.__new__(kind, text))


@dataclasses.dataclass(frozen=True)
class Record:
    """What one pip, or all pips of a command, ran and ran into.

    :ivar reports: one for each hook
    :ivar problems: the errors of this package that hooks ended with, in order
    :ivar quiet: pip was asked to be quiet
    """

    reports: tuple[HookReport, ...]
    problems: tuple[Problem, ...]
    quiet: bool


class Records:
    """The file, as a context manager that closes it.

    :ivar path: how another process of this user opens it, as long as this one lives
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # __exit__ closes it
        self.path = f"/proc/{os.readlink('/proc/self')}/fd/{self._file.fileno()}"

    def read(self) -> Record:
        """Return what has been recorded so far, all in one."""
        with open(self.path, encoding="utf-8") as file:
            records: list[dict[str, Any]] = [json.loads(line) for line in file]
        problems = (Problem(text, getattr(errors, kind)) for r in records for text, kind in r["problems"])
        return Record(
            tuple(HookReport.from_dict(report) for r in records for report in r["reports"]),
            tuple(problems),
            any(r["quiet"] for r in records),
        )

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def add_record(
    path: str, reports: Iterable[HookReport], problems: Iterable[IsolatedHooksError], *, quiet: bool
) -> None:
    """Add the record of one pip to the file at ``path``."""
    record = {
        "reports": [report.to_dict() for report in reports],
        "problems": [(str(problem), _public(type(problem))) for problem in problems],
        "quiet": quiet,
    }
    # One write at the end of the file: of two processes one comes after the other.
    with open(path, "ab", buffering=0) as file:
        file.write(json.dumps(record).encode() + b"\n")


def _public(kind: type[IsolatedHooksError]) -> str:
    return next(base.__name__ for base in kind.__mro__ if base.__name__ in errors.__all__)
