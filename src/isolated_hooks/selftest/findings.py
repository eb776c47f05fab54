"""What a run in the sandbox shows, held against one without: attack by attack."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from ..protections import Protection, ProtectionState
from ..report import HookReport
from .attack import Attack
from .conduct import Outcome

__all__ = ["Finding", "Result", "explained", "findings"]


class Result(enum.Enum):
    """What came of an attack. The value is its public name."""

    HELD = "held"  # it works without the sandbox, and not in it
    OPEN = "open"  # it works, and the report says that what would stop it is degraded or disabled
    GIVEN = "given"  # it works, because the policy gives the hook what it is after
    BROKEN = "broken"  # it works, and the report says that it would not
    UNSHOWN = "unshown"  # it fails in the sandbox, and on this host without it too
    UNTRIED = "untried"  # only root can do it


@dataclasses.dataclass(frozen=True)
class Finding:
    """What came of one attack, and why in a few words."""

    attack: Attack
    result: Result
    why: str = ""


def explained(attack: Attack, states: Mapping[Protection, ProtectionState]) -> tuple[Protection, ...]:
    """Return the protections meant to stop an attack that are not active, so that it may work."""
    return tuple(p for p in attack.stopped_by if states[p] is not ProtectionState.ACTIVE)


def findings(attacks: Iterable[Attack], without: Outcome, within: Outcome) -> tuple[Finding, ...]:
    """Return what each attack has shown.

    :param without: the outcome of a run without the sandbox
    :param within: the outcome of a run in it, which has a report
    """
    assert within.report is not None
    return tuple(_finding(attack, without, within, within.report) for attack in attacks)


def _finding(attack: Attack, without: Outcome, within: Outcome, report: HookReport) -> Finding:
    if attack.name not in within.succeeded or attack.name not in without.succeeded:
        return Finding(attack, Result.UNTRIED, attack.needs_more())
    if not within.succeeded[attack.name]:
        shown = without.succeeded[attack.name]
        why = attack.needs_more() or "it does not work on this host without the sandbox either"
        return Finding(attack, Result.HELD) if shown else Finding(attack, Result.UNSHOWN, why)
    statuses = {status.protection: status for status in report.protections}
    if weak := explained(attack, {p: status.state for p, status in statuses.items()}):
        why = "; ".join(f"{p.value} is {statuses[p].state.value}: {statuses[p].reason}" for p in weak)
        return Finding(attack, Result.OPEN, why)
    if attack.name in within.allowed:
        return Finding(attack, Result.GIVEN, "the policy gives it to the hook")
    names = " and ".join(protection.value for protection in attack.stopped_by)
    return Finding(attack, Result.BROKEN, f"{names} should have stopped it")
