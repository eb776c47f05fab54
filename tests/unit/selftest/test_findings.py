"""Findings: a run in the sandbox, compared with a run without it."""

from __future__ import annotations

import pytest

from isolated_hooks import HookReport, Protection, ProtectionState, ProtectionStatus
from isolated_hooks.selftest.attack import Attack, done, no_arguments
from isolated_hooks.selftest.conduct import Outcome
from isolated_hooks.selftest.findings import Finding, Result, findings

_ATTACK = Attack("E05-example", "reach something", "connect", no_arguments, done)


def _finding_of(
    *,
    without: bool | None = True,
    within: bool | None,
    state: ProtectionState = ProtectionState.ACTIVE,
    allowed: bool = False,
    attack: Attack = _ATTACK,
) -> Finding:
    """Return the finding of two runs. An outcome is true if the attack succeeded, and ``None`` if it was not tried."""
    states = {p: state if p is Protection.IPC else ProtectionState.ACTIVE for p in Protection}
    statuses = tuple(ProtectionStatus(p, s, f"why {p.value}") for p, s in states.items())
    outcomes = [
        Outcome(
            {} if succeeded is None else {attack.name: succeeded},
            {},
            HookReport("build_wheel", "/source", statuses),
            frozenset([attack.name] if allowed else []),
        )
        for succeeded in (without, within)
    ]
    (finding,) = findings([attack], *outcomes)
    return finding


def test_an_attack_that_works_only_without_the_sandbox_is_held() -> None:
    assert _finding_of(within=False) == Finding(_ATTACK, Result.HELD)


def test_an_attack_that_works_nowhere_is_unshown() -> None:
    finding = _finding_of(without=False, within=False)
    assert finding.result is Result.UNSHOWN
    assert "fails on this host even without the sandbox" in finding.why


def test_the_finding_has_the_reason_why_an_attack_works_nowhere() -> None:
    attack = Attack("E05-example", "reach something", "connect", no_arguments, done, "there is nothing to reach")
    assert _finding_of(without=False, within=False, attack=attack).why == "there is nothing to reach"


@pytest.mark.parametrize("without", [True, False])
def test_an_attack_that_works_although_its_protection_is_active_is_broken(without: bool) -> None:
    """This is so even if the attack failed without the sandbox."""
    finding = _finding_of(without=without, within=True)
    assert finding == Finding(_ATTACK, Result.BROKEN, "ipc should have stopped it")


@pytest.mark.parametrize("state", [s for s in ProtectionState if s is not ProtectionState.ACTIVE])
def test_an_attack_that_works_as_reported_is_open_with_the_reason(state: ProtectionState) -> None:
    assert _finding_of(within=True, state=state) == Finding(_ATTACK, Result.OPEN, f"ipc is {state.value}: why ipc")


def test_an_unrelated_weak_protection_is_no_reason() -> None:
    attack = Attack("K02-example", "use a system call", "ring", no_arguments, done)
    assert _finding_of(within=True, state=ProtectionState.DEGRADED, attack=attack).result is Result.BROKEN


def test_an_attack_on_a_target_that_the_policy_allows_is_given() -> None:
    assert _finding_of(within=True, allowed=True).result is Result.GIVEN
    assert _finding_of(within=False, allowed=True).result is Result.HELD


def test_an_attack_that_needs_root_is_untried() -> None:
    attack = Attack("E05-example", "reach something", "connect", no_arguments, done, root=True)
    finding = _finding_of(without=None, within=None, attack=attack)
    assert finding.result is Result.UNTRIED
