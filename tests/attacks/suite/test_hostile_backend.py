"""Every attack, from every hook: it fails in the sandbox and works without it, because otherwise it proves nothing."""

from __future__ import annotations

import functools
import json
import tarfile
import zipfile
from pathlib import Path

import pyproject_hooks
import pytest
from support.attacks.place import Place, quiet

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.selftest.attacks.table import ATTACKS, QUICK, Attack
from isolated_hooks.selftest.conduct import HOOKS, Outcome, call_hook, conduct
from isolated_hooks.selftest.world.world import World

pytestmark = pytest.mark.usefixtures("sandbox")


@functools.cache
def _run(hook: str, sandboxed: bool) -> Outcome:
    return conduct(hook, sandboxed=sandboxed, attacks=_attacks(hook))


def _attacks(hook: str) -> tuple[Attack, ...]:
    """Return the attacks of a hook. All hooks see the same files, so only one of them visits every file."""
    return ATTACKS if hook == "build_wheel" else QUICK


@pytest.mark.parametrize(
    ("hook", "attack"), [pytest.param(h, a, id=f"{h}-{a.name}") for h in HOOKS for a in _attacks(h)]
)
def test_attack(hook: str, attack: Attack) -> None:
    """Each attack tests a promise of the threat model. The table of attacks describes it."""
    if not attack.possible:
        pytest.skip(f"{attack.name}: {attack.needs_more()}")
    inside, outside = _run(hook, True), _run(hook, False)
    assert not inside.succeeded[attack.name], f"{attack.tries}: {inside.evidence[attack.name]}"
    if not outside.succeeded[attack.name]:
        evidence = outside.evidence[attack.name]
        assert attack.needs_more(), f"it fails even without the sandbox, so it proves nothing: {evidence}"
        pytest.skip(f"{attack.name} proves nothing here: {attack.needs_more()}: {evidence}")


@pytest.mark.parametrize("hook", HOOKS)
def test_hidden_files_do_not_exist(hook: str) -> None:
    """Hidden files do not exist for the hook. The error is ENOENT, which does not reveal whether a file exists."""
    evidence = _run(hook, True).evidence
    errors = {
        (attack.name, path, error)
        for attack in ATTACKS
        if attack.probe == "read" and attack.name in evidence
        for path, error in evidence[attack.name]["errors"].items()
    }
    assert errors
    assert {entry for entry in errors if entry[2] not in ("ENOENT", "ENOTDIR")} == set()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_protection_is_active(hook: str) -> None:
    """The report of this run says that every protection is active, and the bounding set is in fact empty."""
    assert _run(hook, True).evidence["K08-capabilities"]["CapBnd"] == ["0" * 16]
    report = _run(hook, True).report
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


def test_orphans_are_reaped(place: Place) -> None:
    """D10: pid 1 reaps the orphans of a hook's processes while the hook still runs."""
    assert place.call({"orphans": {"probe": "orphans", "arguments": {"count": 500}}}) == {"orphans": {"left": 0}}


def test_semaphores_of_its_own_work(place: Place) -> None:
    """E03: IPC works in the sandbox, so an attack on shared memory outside fails for the right reason."""
    assert place.call({"own": {"probe": "own_semaphore", "arguments": {}}}) == {"own": "done"}
