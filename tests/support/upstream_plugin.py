"""A pytest plugin for other projects' test suites: our hook caller in the place of theirs.

``UPSTREAM_DIFFERENCES`` holds, in JSON, for the id of each test that has to fail the name of the exception and the
reason. One of them that passes, or that does not exist, is an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

import isolated_hooks

# Before any of their modules takes the class into a namespace of its own.
SWAP = isolated_hooks.swap("pyproject_hooks", unused_ok=True)
DIFFERENCES: dict[str, list[str]] = json.loads(os.environ["UPSTREAM_DIFFERENCES"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = DIFFERENCES.keys() - {item.nodeid for item in items}
    if missing:
        raise pytest.UsageError(f"no such tests: {sorted(missing)}")
    for item in items:
        if item.nodeid in DIFFERENCES:
            name, reason = DIFFERENCES[item.nodeid]
            item.add_marker(pytest.mark.xfail(strict=True, reason=f"{name}: {reason}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # the report passes through
    report = yield
    if call.when == "call" and item.nodeid in DIFFERENCES and call.excinfo is not None:
        name, _ = DIFFERENCES[item.nodeid]
        if name not in str(call.excinfo.getrepr(style="native")):
            report.outcome, report.longrepr = "failed", f"not by {name}: {call.excinfo.exconly()}"
            del report.wasxfail
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.line(f"SWAPPED {SWAP.constructed} callers, {len(SWAP.reports)} hooks")
