"""Every attack, from every hook: closed in the sandbox, and open without it, as otherwise nothing would be proved."""

from __future__ import annotations

import functools

import pytest

from isolated_hooks.selftest.conduct import HOOKS, Outcome, conduct
from isolated_hooks.selftest.table import ATTACKS, QUICK, Attack

pytestmark = pytest.mark.usefixtures("sandbox")


@functools.cache
def _run(hook: str, sandboxed: bool) -> Outcome:
    return conduct(hook, sandboxed=sandboxed, attacks=_attacks(hook))


def _attacks(hook: str) -> tuple[Attack, ...]:
    """Return what a hook tries. What is seen is the same in all of them, so one of them walks over every file."""
    return ATTACKS if hook == "build_wheel" else QUICK


@pytest.mark.parametrize(
    ("hook", "attack"), [pytest.param(h, a, id=f"{h}-{a.name}") for h in HOOKS for a in _attacks(h)]
)
def test_attack(hook: str, attack: Attack) -> None:
    """The promises of the threat model, one attack each; the table says what is tried."""
    if not attack.possible:
        pytest.skip(f"{attack.name}: {attack.needs_more()}")
    inside, outside = _run(hook, True), _run(hook, False)
    assert not inside.succeeded[attack.name], f"{attack.tries}: {inside.evidence[attack.name]}"
    if not outside.succeeded[attack.name]:
        evidence = outside.evidence[attack.name]
        assert attack.needs_more(), f"it does not work without the sandbox either, which proves nothing: {evidence}"
        pytest.skip(f"{attack.name} proves nothing here: {attack.needs_more()}: {evidence}")


@pytest.mark.parametrize("hook", HOOKS)
def test_hidden_files_do_not_exist(hook: str) -> None:
    """What is hidden is absent, and not only refused: ENOENT tells nothing of whether it exists."""
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
    """The report says of this very run that everything held."""
    report = _run(hook, True).report
    assert report is not None
    assert report.hook == hook
    assert [s for s in report.protections if s.state.value != "active"] == []
