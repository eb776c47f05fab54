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
from ..filesystem import is_within
from ..policy import HOOKS, Policy
from ..report import HookReport
from .table import ATTACKS, Attack
from .world import World

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
    with World(sandboxed=sandboxed, harmless=harmless) as world:
        runner = world.inner_runner()
        tried = [attack for attack in attacks if attack.possible]
        text = json.dumps({a.name: {"probe": a.probe, "arguments": a.arguments(world)} for a in tried})
        (world.tree / "attacks.json").write_text(text)
        if before is not None:
            before(world)
        arguments = (str(world.tree), "hostile", ["."], runner, str(world.python))
        caller = (
            IsolatedHookCaller(*arguments, policy=policy)
            if sandboxed
            else pyproject_hooks.BuildBackendHookCaller(*arguments)
        )
        call_hook(caller, hook, str(world.out), {"attacks": text})
        evidence = _evidence(world)
        if untried := {attack.name for attack in tried} - evidence.keys():
            raise UntriedError(f"the backend did not try everything: {', '.join(sorted(untried))} is missing")
        return Outcome(
            {attack.name: _judge(attack, world, evidence[attack.name]) for attack in tried},
            evidence,
            caller.reports[-1] if isinstance(caller, IsolatedHookCaller) else None,
            frozenset(a.name for a in tried if policy is not None and _is_allowed(a, world, policy)),
        )


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


def _is_allowed(attack: Attack, world: World, policy: Policy) -> bool:
    """Say whether the policy itself gives the hook what the attack is after: a path, or a variable."""
    given = (*policy.expose, *policy.writable)
    variables: Mapping[str, Any] = attack.arguments(world) if attack.probe == "environment" else {}
    return any(is_within(path, top) for path in attack.given_paths(world) for top in given) or any(
        _matches(name, pattern) for name in variables.get("names", ()) for pattern in policy.env_keep
    )


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


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
