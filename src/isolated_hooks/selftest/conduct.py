"""One run of one hook of the hostile backend, with or without the sandbox, and the verdicts on every attack."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyproject_hooks

from ..caller import IsolatedHookCaller
from ..errors import IsolatedHooksError
from ..policy import HOOKS, Policy
from ..report import HookReport
from .attacks.table import ATTACKS, Attack
from .world.world import World

__all__ = ["HOOKS", "Outcome", "UntriedError", "call_hook", "conduct"]

# How the backend begins its evidence on standard output, where it cannot write to the source tree.
_EVIDENCE = b"isolated-hooks-evidence: "


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a run.

    :ivar succeeded: for each attack whether it did, judged from outside
    :ivar evidence: what the backend wrote, for messages
    :ivar report: of the sandbox, ``None`` without it
    :ivar allowed: the attacks that are after something that the policy gives the hook
    """

    succeeded: dict[str, bool]
    evidence: dict[str, Any]
    report: HookReport | None
    allowed: frozenset[str] = frozenset()


def conduct(
    hook: str,
    *,
    sandboxed: bool,
    before: Callable[[World], None] | None = None,
    attacks: Sequence[Attack] = ATTACKS,
    policy: Policy | None = None,
) -> Outcome:
    """Run a hook that carries out attacks, in a new world.

    :param before: changes the world before the hook starts, for instance the owners of the source tree
    :param attacks: those that need rights that this user lacks are left out
    :param policy: of the sandbox
    :raises UntriedError: an attack was not tried to its end, so nothing can be said of it
    """
    harmless = all(attack.harmless for attack in attacks)
    policy = Policy() if policy is None else policy
    with World(policy=policy if sandboxed else None, harmless=harmless) as world:
        runner = world.inner_runner()
        tried = [attack for attack in attacks if attack.possible]
        given = {attack.name: attack.arguments(world) for attack in tried}
        text = json.dumps({a.name: {"probe": a.probe, "arguments": given[a.name]} for a in tried})
        (world.tree / "attacks.json").write_text(text)
        if before is not None:
            before(world)
        caller = _caller(world, runner, policy if sandboxed else None)
        call_hook(caller, hook, str(world.out), {"attacks": text})
        evidence = _evidence(world)
        if untried := {attack.name for attack in tried} - evidence.keys():
            raise UntriedError(f"the backend did not try everything: {', '.join(sorted(untried))} is missing")
        return Outcome(
            {attack.name: _judge(attack, world, evidence[attack.name]) for attack in tried},
            evidence,
            caller.reports[-1] if isinstance(caller, IsolatedHookCaller) else None,
            frozenset(name for name, arguments in given.items() if _is_after_what_is_given(arguments, world)),
        )


def _caller(world: World, runner: Any, policy: Policy | None) -> pyproject_hooks.BuildBackendHookCaller:
    arguments = (str(world.tree), "hostile", ["."], runner, str(world.python))
    if policy is None:
        return pyproject_hooks.BuildBackendHookCaller(*arguments)
    return IsolatedHookCaller(*arguments, policy=policy)


class UntriedError(IsolatedHooksError):
    """An attack was not tried to its end, so nothing can be said of it."""


def _evidence(world: World) -> dict[str, Any]:
    file = world.tree / "evidence.json"
    if file.exists():
        text = file.read_bytes()
    else:
        lines = [line for line in world.output.splitlines() if line.startswith(_EVIDENCE)]
        text = lines[-1].removeprefix(_EVIDENCE) if lines else b"{}"
    evidence: dict[str, Any] = json.loads(text)
    return evidence


def _judge(attack: Attack, world: World, evidence: Any) -> bool:
    if "crashed" in (evidence or ()):
        raise UntriedError(f"{attack.name} was not tried to its end: {evidence}")
    return bool(attack.succeeded(world, evidence))


def _is_after_what_is_given(arguments: Mapping[str, Any], world: World) -> bool:
    """Say whether the policy itself gives the hook what a probe is told to reach: a path, or a variable."""
    for value in arguments.values():
        for text in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(text, str) and world.gives(text):
                return True
    return False


def call_hook(caller: pyproject_hooks.BuildBackendHookCaller, hook: str, out: str, settings: dict[str, str]) -> Any:
    """Call a hook by its name, with the arguments that it takes."""
    if hook == "_supported_features":
        return caller._supported_features()
    if hook.startswith("get_requires"):
        return getattr(caller, hook)(settings)
    if hook.startswith("prepare_metadata"):
        return getattr(caller, hook)(out, settings, _allow_fallback=False)
    os.makedirs(out, exist_ok=True)
    return getattr(caller, hook)(out, settings)
