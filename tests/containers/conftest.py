"""Sets up the lab once for all tests in this directory, and prints the table at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.containers import table
from support.containers.lab import CGROUP, DIRECTORY, USER, Lab, cannot_be_set_up
from support.containers.places import Places

_SWITCH = "ISOLATED_HOOKS_REQUIRE_CONTAINERS"
_TABLE = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def asserts_no_trace_of_the_lab() -> Iterator[None]:
    """Check that the lab has left nothing behind."""
    before = _traces()
    yield
    assert _traces() == before, "the lab has left something behind"
    assert not DIRECTORY.exists()


@pytest.fixture(scope="session")
def places(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[Places]:
    """Return the environments. Setting them up installs packages and takes minutes, so it happens only on request."""
    if os.environ.get(_SWITCH) != "1":
        pytest.skip(f"to test real containers, set {_SWITCH}=1, as root on Debian")
    if problem := cannot_be_set_up():
        pytest.fail(problem, pytrace=False)
    request.getfixturevalue("asserts_no_trace_of_the_lab")  # not earlier: without this switch, another lab may exist
    with Lab() as lab:
        environments = Places(lab)
        yield environments
        if environments.complete:
            pytestconfig.stash[_TABLE] = table.render(environments.all_found(), table.versions())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    if text := config.stash.get(_TABLE, ""):
        terminalreporter.section("what each host gives")
        terminalreporter.write_line(text)


def _traces() -> dict[str, Any]:
    """Return the traces that a lab could leave behind: its user, mounts, cgroups and processes."""
    accounts = [Path(f"/etc/{name}").read_text() for name in ("passwd", "group", "subuid", "subgid")]
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # the process has just ended
    return {
        "accounts": [line for text in accounts for line in text.splitlines() if USER in line],
        "mounts": [
            line
            for line in Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
            if str(DIRECTORY) in line
        ],
        "cgroups": sorted(map(str, Path("/sys/fs/cgroup").glob(f"**{CGROUP}"))),
        "processes": [line for line in commands if str(DIRECTORY) in line],
    }


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show unequal items as JSON, the form in which the environments report them."""
    if op == "==" and isinstance(left, dict) and isinstance(right, dict):
        keys = {*left, *right}
        return ["these items differ:"] + [
            f"{key}: {json.dumps(left.get(key), default=str)} and {json.dumps(right.get(key), default=str)}"
            for key in sorted(keys)
            if left.get(key) != right.get(key)
        ]
    return None
