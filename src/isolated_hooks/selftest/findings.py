"""Compare a run in the sandbox with a run without it, attack by attack."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

from ..frozen import dataclass
from ..protections import Protection, ProtectionState
from ..report import HookReport
from .attack import Attack
from .conduct import Outcome

__all__ = ["Finding", "Result", "findings", "inactive_protections"]


class Result(enum.Enum):
    """The result of an attack. The value is its public name."""

    HELD = "held"  # the attack works without the sandbox and fails in it
    OPEN = "open"  # it works, and the report says that a protection that would stop it is not active
    GIVEN = "given"  # it works, because the policy lets the hook reach its target
    BROKEN = "broken"  # it works, although the report says that it would not
    UNSHOWN = "unshown"  # it fails on this host even without the sandbox
    UNTRIED = "untried"  # only root can try it


@dataclass(frozen=True)
class Finding:
    """The result of one attack.

    :ivar attack: the attack
    :ivar result: its result
    :ivar why: the reason, in a few words, or an empty string
    """

    attack: Attack
    result: Result
    why: str = ""


def inactive_protections(attack: Attack, states: Mapping[Protection, ProtectionState]) -> tuple[Protection, ...]:
    """Return those protections that should stop an attack but are not active, so the attack may work."""
    return tuple(p for p in attack.stopped_by if states[p] is not ProtectionState.ACTIVE)


def findings(attacks: Iterable[Attack], without: Outcome, within: Outcome) -> tuple[Finding, ...]:
    """Return the finding of each attack.

    :param without: the outcome of a run without the sandbox
    :param within: the outcome of a run in the sandbox, which has a report
    """
    assert within.report is not None
    return tuple(_finding(attack, without, within, within.report) for attack in attacks)


def _finding(attack: Attack, without: Outcome, within: Outcome, report: HookReport) -> Finding:
    if attack.name not in within.succeeded or attack.name not in without.succeeded:
        return Finding(attack, Result.UNTRIED, attack.needs_more())
    if not within.succeeded[attack.name]:
        shown = without.succeeded[attack.name]
        why = attack.needs_more() or "it fails on this host even without the sandbox"
        return Finding(attack, Result.HELD) if shown else Finding(attack, Result.UNSHOWN, why)
    statuses = {status.protection: status for status in report.protections}
    if weak := inactive_protections(attack, {p: status.state for p, status in statuses.items()}):
        why = "; ".join(f"{p.value} is {statuses[p].state.value}: {statuses[p].reason}" for p in weak)
        return Finding(attack, Result.OPEN, why)
    if attack.name in within.allowed:
        return Finding(attack, Result.GIVEN, "the policy lets the hook reach the target")
    names = " and ".join(protection.value for protection in attack.stopped_by)
    return Finding(attack, Result.BROKEN, f"{names} should have stopped it")
