"""What is refused before a plan is launched: fewer protections than the policy requires, and trees that give rights."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..errors import PolicyError, SandboxSetupError, SandboxUnavailableError
from ..files.register import holds_register
from ..launchers import Launcher
from ..plan import Plan, Situation
from ..protections import ProtectionStatus
from ..text import visible
from . import trial

__all__ = ["check_owners", "check_plan", "missing", "refuse_register"]


def check_plan(plan: Plan, launcher: Launcher, *, observes: bool) -> None:
    """Raise SandboxUnavailableError if the plan, under this launcher, protects less than the policy requires.

    :param observes: somebody wants to know what the hook asks for
    """
    if plan.identity not in launcher.identities:
        raise SandboxUnavailableError(
            [f"the launcher {launcher.name} knows no user of the hook's own that this host allows"],
            "use the launcher native",
        )
    if observes and (plan.confined or not getattr(launcher, "observes", False)):
        raise trial.observation_refused(plan, launcher.name)
    if plan.policy.hosts and (plan.confined or not getattr(launcher, "proxied", False)):
        raise trial.hosts_refused(plan, launcher.name)
    lacking = missing(plan, launcher)
    if lacking and plan.confined:
        raise trial.namespaces_refused(lacking)
    if lacking:
        raise SandboxUnavailableError([_sentence(s) for s in lacking], "; ".join(s.remedy for s in lacking))


def missing(plan: Plan, launcher: Launcher) -> list[ProtectionStatus]:
    """Return the protections that are weaker under a plan and a launcher than the policy allows."""
    return [s for s in launcher.protections(plan) if not plan.policy.permits(s.protection, s.state)]


def check_owners(plan: Plan, situation: Situation) -> None:
    """Refuse a tree of which we do not know all owners, where the hook may get more or fewer rights for that."""
    owners = situation.owners
    if owners is not None and owners.single is not None and owners.unread and plan.identity.traits.idmapped:
        raise SandboxSetupError(
            "finding the owners of the source tree",
            path=owners.unread,
            reason="this process may not look into it, so it cannot tell which owners the sandbox has to map: change "
            "its mode, or remove it",
        )


def refuse_register(trees: Iterable[str]) -> None:
    """Refuse a tree in which a hook could forge what later calls trust."""
    for tree in trees:
        if holds_register(os.path.realpath(tree)):
            raise PolicyError(
                f"hooks cannot have {visible(tree)!r}, in which isolated-hooks notes what its calls have to remove: "
                "choose a directory beneath it, or another one"
            )


def _sentence(status: ProtectionStatus) -> str:
    return f"{status.protection.value} is {status.state.value}: {status.reason}"
