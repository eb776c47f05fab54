"""Every attack, from every hook: it fails in the sandbox and works without it, because otherwise it proves nothing."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import pyproject_hooks
import pytest
from support.attacks.place import Place, quiet

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.launchers.ready import KEEPER
from isolated_hooks.selftest.attacks.table import ATTACKS, QUICK, Attack
from isolated_hooks.selftest.conduct import HOOKS, Outcome, call_hook, conduct
from isolated_hooks.selftest.world.world import World

pytestmark = pytest.mark.usefixtures("sandbox")


# In the fast lane one hook of those that are asked first, and the one with the longest walk.
_FAST = ("get_requires_for_build_wheel", "build_wheel")


@pytest.fixture(scope="module", params=[pytest.param(h, marks=() if h in _FAST else pytest.mark.slow) for h in HOOKS])
def hook(request: pytest.FixtureRequest) -> str:
    """Each hook."""
    return str(request.param)


@pytest.fixture(scope="module")
def attacks(hook: str) -> tuple[Attack, ...]:
    """What the hook tries. What is seen is the same in all of them, so one of them walks over every file."""
    return tuple(attack for attack in (ATTACKS if hook == "build_wheel" else QUICK) if attack.possible)


@pytest.fixture(scope="module")
def inside(hook: str, attacks: tuple[Attack, ...], sandbox: None) -> Outcome:
    """What came of the attacks in the sandbox."""
    return conduct(hook, sandboxed=True, attacks=attacks)


@pytest.fixture(scope="module")
def outside(hook: str, attacks: tuple[Attack, ...]) -> Outcome:
    """What came of them without it."""
    return conduct(hook, sandboxed=False, attacks=attacks)


def test_attack(attacks: tuple[Attack, ...], inside: Outcome, outside: Outcome) -> None:
    """The promises of the threat model: every attack works without the sandbox, and none of them within it."""
    worked = [f"{a.name}, {a.tries}: {inside.evidence[a.name]}" for a in attacks if inside.succeeded[a.name]]
    assert worked == []
    failed = [a for a in attacks if not outside.succeeded[a.name] and not a.needs_more()]
    unshown = [f"{a.name}, {a.tries}: {outside.evidence[a.name]}" for a in failed]
    assert unshown == [], "these do not work without the sandbox either, which proves nothing"


def test_attack_after_a_warm_launch(hook: str, attacks: tuple[Attack, ...], inside: Outcome) -> None:
    """The same comes of every attack if the launcher is a fork of the process that stays ready."""
    KEEPER.forked()  # a new one: without the sandbox, attacks change this process
    forked = conduct(hook, sandboxed=True, attacks=attacks, inner=pyproject_hooks.quiet_subprocess_runner)
    assert forked.report is not None
    assert inside.report is not None
    assert (inside.report.warm, forked.report.warm) == (False, True)
    assert forked.succeeded == inside.succeeded
    assert forked.report.protections == inside.report.protections


def test_hidden_files_do_not_exist(inside: Outcome) -> None:
    """What is hidden is absent, and not only refused: ENOENT tells nothing of whether it exists."""
    errors = {
        (attack.name, path, error)
        for attack in ATTACKS
        if attack.probe == "read" and attack.name in inside.evidence
        for path, error in inside.evidence[attack.name]["errors"].items()
    }
    assert errors
    assert {entry for entry in errors if entry[2] not in ("ENOENT", "ENOTDIR")} == set()


def test_every_protection_is_active(hook: str, inside: Outcome) -> None:
    """The report says of this very run that everything held; the bounding set is empty, as it says."""
    assert inside.evidence["K08-capabilities"]["CapBnd"] == ["0" * 16]
    report = inside.report
    assert report is not None
    assert report.hook == hook
    assert [s for s in report.protections if s.state.value != "active"] == []


@pytest.mark.parametrize("hook", ["build_wheel", "build_sdist", "build_editable"])
def test_nothing_is_smuggled_out_in_an_artefact(hook: str) -> None:
    """A18: the backend puts everything it has found into the artefact. In the sandbox it has found no canary."""
    smuggled = {}
    for sandboxed in (True, False):
        with World(policy=Policy() if sandboxed else None) as world:
            attacks = {a.name: {"probe": a.probe, "arguments": a.arguments(world)} for a in QUICK if a.kind in _SEEKING}
            arguments = (str(world.tree), "hostile", ["."], quiet, str(world.python))
            caller = (IsolatedHookCaller if sandboxed else pyproject_hooks.BuildBackendHookCaller)(*arguments)
            call_hook(caller, hook, str(world.out), {"attacks": json.dumps(attacks)})
            (artefact,) = world.out.glob("hostile-*")
            smuggled[sandboxed] = [name for name, text in world.canaries.items() if text in _contents(artefact)]
    assert smuggled[True] == []
    assert len(smuggled[False]) > 20


_SEEKING = ("A01", "A03", "A04", "A11", "A12", "A14", "C11")


def _contents(artefact: Path) -> str:
    """Return the text of all files in a wheel or an sdist."""
    if artefact.suffix == ".whl":
        with zipfile.ZipFile(artefact) as wheel:
            return "\n".join(wheel.read(name).decode() for name in wheel.namelist())
    with tarfile.open(artefact) as sdist:
        files = [file for member in sdist if (file := sdist.extractfile(member)) is not None]
        return "\n".join(file.read().decode() for file in files)


@pytest.mark.slow
def test_orphans_are_reaped(place: Place) -> None:
    """D10: pid 1 reaps the orphans of a hook's processes while the hook still runs."""
    assert place.call({"orphans": {"probe": "orphans", "arguments": {"count": 500}}}) == {"orphans": {"left": 0}}


def test_semaphores_of_its_own_work(place: Place) -> None:
    """E03: IPC works in the sandbox, so an attack on shared memory outside fails for the right reason."""
    assert place.call({"own": {"probe": "own_semaphore", "arguments": {}}}) == {"own": "done"}
