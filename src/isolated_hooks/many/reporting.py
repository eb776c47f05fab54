"""The report of a wheelhouse in JSON, and its table for people. All names that a hook chose are escaped and bounded."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..frontends.build.reporting import SCHEMA as HOOK_SCHEMA
from ..frontends.build.reporting import hook_document
from ..text import visible
from .outcomes import BuildResult, BuiltFile, Outcome
from .requests import Task

__all__ = ["SCHEMA", "document", "log_end", "memory_of", "table", "totals"]

#: The version of the report: a change that breaks readers changes the first number.
SCHEMA = "1.0"
_MAX_LOG = 20_000
_MAX_CELL = 72
_LINES = 15


def document(tasks: Sequence[Task], results: Sequence[BuildResult], *, version: str) -> dict[str, Any]:
    """Return the report as JSON values.

    :param results: one for each task
    :param version: of this package
    """
    return {
        "schema": SCHEMA,
        "hooks_schema": HOOK_SCHEMA,
        "version": version,
        "counts": {outcome.value: sum(r.outcome is outcome for r in results) for outcome in Outcome},
        "packages": [_package(task, result) for task, result in zip(tasks, results, strict=True)],
    }


def _package(task: Task, result: BuildResult) -> dict[str, Any]:
    return {
        "label": task.label,
        "source": visible(str(result.request.source), limit=2000),
        "source_sha256": result.source_sha256,
        "outcome": result.outcome.value,
        "error": result.error,
        "error_class": result.kind,
        "seconds": round(result.seconds, 3),
        "wheel": _file(result.wheel),
        "sdist": _file(result.sdist),
        "requirements": [*result.requirements],
        "used": [dataclasses.asdict(used) for used in result.used],
        "hooks": [hook_document(report) for report in result.hooks],
        "log": visible(result.log[-_MAX_LOG:], keep="\n"),
    }


def memory_of(result: BuildResult) -> int:
    """Return the largest resident set of one process of the hooks of a build, in bytes, or 0 if nobody knows."""
    usages = [report.details.usage for report in result.hooks if report.details is not None]
    return max((usage.max_rss for usage in usages if usage is not None), default=0)


def _file(file: BuiltFile | None) -> dict[str, Any] | None:
    if file is None:
        return None
    name = os.path.basename(file.path)
    return {"name": name, "path": file.path, "size": file.size, "hashes": {"sha256": file.sha256}}


def table(tasks: Sequence[Task], results: Sequence[BuildResult]) -> Iterable[str]:
    """Yield the lines of the summary: a row for each package."""
    rows = [("package", "result", "seconds", "wheel, or why there is none")]
    for task, result in zip(tasks, results, strict=True):
        wheel = "" if result.wheel is None else os.path.basename(result.wheel.path)
        shown = visible((wheel or result.error).partition("\n")[0], limit=None if wheel else _MAX_CELL)
        rows.append((task.label, result.outcome.value, f"{result.seconds:.1f}", shown))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for label, outcome, seconds, shown in rows:
        yield f"{label:{widths[0]}}  {outcome:{widths[1]}}  {seconds:>{widths[2]}}  {shown}".rstrip()


def totals(results: Sequence[BuildResult]) -> str:
    """Return how many packages ended in which way, as a sentence."""
    counts = Counter(result.outcome for result in results)
    return ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome])


def log_end(result: BuildResult) -> Iterable[str]:
    """Yield the last lines of the output of a build, escaped."""
    # build's tip names options of its own command line.
    lines = [line for line in result.log.splitlines() if line.strip() and not line.startswith("TIP ")]
    for line in lines[-_LINES:]:
        yield visible(line, limit=500)
