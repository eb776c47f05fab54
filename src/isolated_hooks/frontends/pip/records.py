"""The records that all pips of one command share: pip starts further pips, for build requirements and ``--python``.

The first process holds an unnamed file with the records. The others open it through ``/proc``. A hook cannot, because
it sees no process outside its sandbox.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from types import TracebackType
from typing import Any, cast

from ... import errors
from ...errors import IsolatedHooksError
from ...frozen import dataclass
from ...report import HookReport

__all__ = ["Problem", "Record", "Records", "add_record", "public_name"]


@dataclass(frozen=True)
class Problem:
    """An error of this package with which a hook call failed, in any pip of the command.

    :ivar text: its message
    :ivar kind: its class
    """

    text: str
    kind: type[IsolatedHooksError]

    def error(self) -> IsolatedHooksError:
        """Return an error of that class with that message. The record does not hold the error's other attributes."""
        text = self.text
        kind = type(self.kind.__name__, (self.kind,), {"__str__": lambda _: text})
        return cast(IsolatedHooksError, kind.__new__(kind, text))


@dataclass(frozen=True)
class Record:
    """The hooks and errors of one pip, or of all pips of a command.

    :ivar reports: one report for each hook
    :ivar problems: the errors of this package with which hooks failed, in order
    :ivar quiet: whether the user asked pip to be quiet
    """

    reports: tuple[HookReport, ...]
    problems: tuple[Problem, ...]
    quiet: bool


class Records:
    """The file of records, a context manager that closes it.

    :ivar path: the path by which another process of this user can open it, as long as this process lives
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # __exit__ closes it
        self.path = f"/proc/{os.readlink('/proc/self')}/fd/{self._file.fileno()}"

    def read(self) -> Record:
        """Return all records so far, merged into one."""
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
        "problems": [(str(problem), public_name(type(problem))) for problem in problems],
        "quiet": quiet,
    }
    # A single write in append mode, so the records of two processes do not mix.
    with open(path, "ab", buffering=0) as file:
        file.write(json.dumps(record).encode() + b"\n")


def public_name(kind: type[IsolatedHooksError]) -> str:
    """Return the name of the public class that an error of this package has."""
    return next(base.__name__ for base in kind.__mro__ if base.__name__ in errors.__all__)
