"""The protections that a plan holds, and the words for their states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..protections import ROWS, Protection, ProtectionState, ProtectionStatus
from .plan import Plan

__all__ = ["protections_of", "unprotected", "with_degradations"]


def protections_of(plan: Plan) -> tuple[ProtectionStatus, ...]:
    """Return the state of every protection if all steps of the plan succeed."""
    traits = plan.identity.traits
    reasons = {protection: row.active for protection, row in ROWS.items()} | {Protection.IDENTITY: traits.user}
    if plan.capabilities and not plan.confined:
        reasons[Protection.PRIVILEGES] = (
            f"{' and '.join(plan.capabilities)} only in its own user namespace, because "
            f"{traits.because}; an empty bounding set, no_new_privs, no further user namespace"
        )
    if plan.terminal:
        reasons[Protection.TERMINAL] = "a new session on a pseudo-terminal of its own"
    elif plan.stdin != "null":
        reasons[Protection.TERMINAL] = "a new session without a controlling terminal; stdin is the caller's"
    statuses = {p: ProtectionStatus(p, ProtectionState.ACTIVE, reasons[p]) for p in Protection}
    if plan.root and traits.kernel_root:
        # We know this before anything runs, so a policy that requires the identity refuses the call.
        identity, remedy = Protection.IDENTITY, ROWS[Protection.IDENTITY].remedy
        statuses[identity] = ProtectionStatus(identity, ProtectionState.DEGRADED, traits.kernel_root, remedy)
    if plan.confined:
        statuses |= {status.protection: status for status in _confined(plan)}
    if plan.policy.hosts and not plan.confined:
        reason = f"{ROWS[Protection.NETWORK].active} and, through a proxy outside, these hosts alone: "
        reason += ", ".join(map(str, plan.policy.hosts))
        if plan.policy.network_auth:
            reason += f"; it adds credentials outside: {', '.join(map(str, plan.policy.auths))}"
        statuses[Protection.NETWORK] = ProtectionStatus(Protection.NETWORK, ProtectionState.ACTIVE, reason)
    if plan.policy.whole_network:
        statuses[Protection.NETWORK] = ProtectionStatus(
            Protection.NETWORK,
            ProtectionState.DISABLED,
            "the policy allows the caller's network",
            "set network = false",
        )
    return tuple(statuses[p] for p in Protection)


def with_degradations(
    statuses: Iterable[ProtectionStatus], degraded: Mapping[str, str]
) -> tuple[ProtectionStatus, ...]:
    """Return the state of every protection after a run.

    :param statuses: the states if all steps succeed
    :param degraded: the protections that the child reports as weaker, which the policy allows; name -> reason
    """
    results = {status.protection: status for status in statuses}
    for name, reason in degraded.items():
        protection = Protection(name)
        results[protection] = ProtectionStatus(protection, ProtectionState.DEGRADED, reason, ROWS[protection].remedy)
    return tuple(results[p] for p in Protection)


def _confined(plan: Plan) -> Iterator[ProtectionStatus]:
    """Yield the states that differ because there are no namespaces."""
    for protection, row in ROWS.items():
        held = row.separate if row.separate and plan.identity.traits.throw_away else row.confined
        if held is None:
            continue
        if held.weaker:
            reason = f"without user namespaces: {held.words}"
            yield ProtectionStatus(protection, ProtectionState.DEGRADED, reason, plan.remedy)
        else:
            yield ProtectionStatus(protection, ProtectionState.ACTIVE, held.words)


def unprotected() -> tuple[ProtectionStatus, ...]:
    """Return the state of every protection for a hook that the policy runs without a sandbox."""
    reason = "'hooks' in the policy does not name this hook"
    return tuple(ProtectionStatus(p, ProtectionState.DISABLED, reason, "name it in 'hooks'") for p in Protection)
