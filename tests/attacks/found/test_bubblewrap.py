"""Under the launcher bubblewrap every attack fails as under our own, and the report lists what is degraded."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.attacks.place import Place, processes_naming
from support.lanes import first_fast

from isolated_hooks import Policy, Protection, ProtectionState
from isolated_hooks.selftest.attacks.table import QUICK
from isolated_hooks.selftest.conduct import Outcome, conduct
from isolated_hooks.selftest.world.processes import until
from isolated_hooks.selftest.world.world import World

pytestmark = pytest.mark.usefixtures("sandbox", "bubblewrap")

# bwrap's /dev contains a link to /proc/kcore. The attack F05-files tests that the link leads nowhere.
_FOUND: dict[str, Any] = {"F07-devices": {"others": ["core"]}}
# A tree with one owner gets a throw-away uid. With several owners, the hook runs under root's own uid.
_SHAPES = ("one-owner", "several-owners") if os.geteuid() == 0 else ("one-owner",)
_HOOKS = ("get_requires_for_build_wheel", "build_wheel")


def _add_another_owner(world: World) -> None:
    (world.tree / "of-another").touch()
    os.chown(world.tree / "of-another", 1001, 1001)


@pytest.fixture(scope="module", params=first_fast(_SHAPES))
def shape(request: pytest.FixtureRequest) -> str:
    """Whose files the tree has."""
    return str(request.param)


@pytest.fixture(scope="module", params=_HOOKS)
def outcome(request: pytest.FixtureRequest, shape: str, sandbox: None, bubblewrap: None) -> Outcome:
    """What came of the attacks of each hook."""
    before = _add_another_owner if shape == "several-owners" else None
    return conduct(request.param, sandboxed=True, before=before, attacks=QUICK, policy=Policy(launcher="bubblewrap"))


def test_attack_is_closed(outcome: Outcome) -> None:
    """That each attack works without a sandbox is shown elsewhere."""
    tried = {attack.name: attack.tries for attack in QUICK if attack.possible}
    assert {name: outcome.evidence[name] for name in _FOUND} == _FOUND
    open_ones = [name for name in tried if name not in _FOUND and outcome.succeeded[name]]
    assert [f"{name}, {tried[name]}: {outcome.evidence[name]}" for name in open_ones] == []


def test_what_is_hidden_does_not_exist(outcome: Outcome) -> None:
    evidence = outcome.evidence
    reads = (evidence[attack.name]["errors"] for attack in QUICK if attack.probe == "read" and attack.name in evidence)
    assert {error for errors in reads for error in errors.values()} <= {"ENOENT", "ENOTDIR"}


def test_no_protection_is_degraded_but_the_identity_of_root_with_files_of_several_owners(
    outcome: Outcome, shape: str
) -> None:
    report = outcome.report
    assert report is not None
    assert report.launcher == "bubblewrap"
    weaker = {s.protection: s.state for s in report.protections if s.state is not ProtectionState.ACTIVE}
    assert weaker == ({Protection.IDENTITY: ProtectionState.DEGRADED} if shape == "several-owners" else {})


@pytest.fixture
def starting() -> Iterator[Path]:
    """A program that acts as a bwrap during its start: its child waits, and does not yet die with it."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    directory.chmod(0o755)
    program = directory / "bwrap"
    program.write_text(f"#!/bin/sh\nsetsid sh -c 'sleep 1000; :' {directory}/child &\nwait\n")
    program.chmod(0o755)
    yield program
    shutil.rmtree(directory)


def test_nothing_stays_where_the_launcher_is_killed_while_bwrap_starts(place: Place, starting: Path) -> None:
    """During the start, bwrap's child would wait forever for a dead bwrap. Later, pid 1 dies with it."""
    child = starting.with_name("child")
    options = {"launcher": "bubblewrap", "program": str(starting)}
    frontend = place.frontend({}, options=options, stderr=subprocess.DEVNULL)
    assert until(lambda: processes_naming(child))
    (launcher,) = map(int, Path(f"/proc/{frontend.pid}/task/{frontend.pid}/children").read_text().split())
    os.kill(launcher, signal.SIGKILL)
    assert frontend.wait(60) == 1
    assert until(lambda: not processes_naming(child)), processes_naming(child)
    assert until(lambda: not processes_naming(place.tmp)), processes_naming(place.tmp)
