"""What a run in the sandbox shows, held against one without."""

from __future__ import annotations

import pytest

from isolated_hooks import HookReport, Protection, ProtectionState, ProtectionStatus
from isolated_hooks.selftest.attack import Attack, done, no_arguments
from isolated_hooks.selftest.conduct import Outcome
from isolated_hooks.selftest.findings import Finding, Result, findings

_ATTACK = Attack("E05-example", "reach something", "connect", no_arguments, done)


def _found(
    *,
    without: bool | None = True,
    within: bool | None,
    state: ProtectionState = ProtectionState.ACTIVE,
    given: bool = False,
    attack: Attack = _ATTACK,
) -> Finding:
    """Return what two runs show, in which the attack succeeded or not; ``None`` is one in which it was not tried."""
    states = {p: state if p is Protection.IPC else ProtectionState.ACTIVE for p in Protection}
    statuses = tuple(ProtectionStatus(p, s, f"why {p.value}") for p, s in states.items())
    outcomes = [
        Outcome(
            {} if succeeded is None else {attack.name: succeeded},
            {},
            HookReport("build_wheel", "/source", statuses),
            frozenset([attack.name] if given else []),
        )
        for succeeded in (without, within)
    ]
    (finding,) = findings([attack], *outcomes)
    return finding


def test_what_works_without_and_not_within_has_held() -> None:
    assert _found(within=False) == Finding(_ATTACK, Result.HELD)


def test_what_works_nowhere_has_shown_nothing() -> None:
    finding = _found(without=False, within=False)
    assert finding.result is Result.UNSHOWN
    assert "fails on this host even without the sandbox" in finding.why


def test_why_it_may_work_nowhere_is_said() -> None:
    attack = Attack("E05-example", "reach something", "connect", no_arguments, done, "there is nothing to reach")
    assert _found(without=False, within=False, attack=attack).why == "there is nothing to reach"


@pytest.mark.parametrize("without", [True, False])
def test_what_works_although_its_protection_is_active_is_broken(without: bool) -> None:
    """Also where it did not work without the sandbox."""
    finding = _found(without=without, within=True)
    assert finding == Finding(_ATTACK, Result.BROKEN, "ipc should have stopped it")


@pytest.mark.parametrize("state", [s for s in ProtectionState if s is not ProtectionState.ACTIVE])
def test_what_works_as_the_report_says_is_open_with_its_reason(state: ProtectionState) -> None:
    assert _found(within=True, state=state) == Finding(_ATTACK, Result.OPEN, f"ipc is {state.value}: why ipc")


def test_another_protection_that_is_weaker_is_no_reason() -> None:
    attack = Attack("K02-example", "use a system call", "ring", no_arguments, done)
    assert _found(within=True, state=ProtectionState.DEGRADED, attack=attack).result is Result.BROKEN


def test_what_the_policy_gives_is_given() -> None:
    assert _found(within=True, given=True).result is Result.GIVEN
    assert _found(within=False, given=True).result is Result.HELD


def test_what_takes_root_is_untried() -> None:
    attack = Attack("E05-example", "reach something", "connect", no_arguments, done, root=True)
    finding = _found(without=None, within=None, attack=attack)
    assert finding.result is Result.UNTRIED
