"""Run one hook of the hostile backend, with or without the sandbox, and judge every attack."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyproject_hooks

from ..caller import IsolatedHookCaller
from ..errors import IsolatedHooksError
from ..frozen import dataclass
from ..hookcall import SubprocessRunner
from ..policy import HOOKS, Policy
from ..report import HookReport
from .attacks.table import ATTACKS, Attack
from .world.world import World

__all__ = ["HOOKS", "Outcome", "UntriedError", "call_hook", "conduct"]

# If the backend cannot write to the source tree, or that would be discarded, it prints its evidence to stdout after
# this prefix.
_EVIDENCE = b"isolated-hooks-evidence: "


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    :ivar succeeded: for the name of each attack, whether it succeeded, judged from outside
    :ivar evidence: for the name of each attack, the backend's evidence, for messages
    :ivar report: the report of the call, or ``None`` without the sandbox
    :ivar allowed: names of the attacks whose target the policy lets the hook reach
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
    inner: SubprocessRunner | None = None,
) -> Outcome:
    """Run a hook that carries out attacks, in a new world.

    :param hook: the hook's name
    :param sandboxed: whether the hook runs in the sandbox
    :param before: changes the world before the hook starts, for instance the owners of the source tree
    :param attacks: the attacks; those that this user cannot try are left out
    :param policy: the policy of the sandbox (default: ``Policy()``)
    :param inner: the frontend's runner (default: one that leaves descriptors open, and starts the hook through a shell)
    :raises UntriedError: an attack was not tried to its end, so it has no outcome
    """
    harmless = all(attack.harmless for attack in attacks)
    policy = Policy() if policy is None else policy
    with World(policy=policy if sandboxed else None, harmless=harmless) as world:
        own = world.inner_runner()
        runner = own if inner is None else inner
        tried = [attack for attack in attacks if attack.possible]
        arguments = {attack.name: attack.arguments(world) for attack in tried}
        text = json.dumps({a.name: {"probe": a.probe, "arguments": arguments[a.name]} for a in tried})
        (world.tree / "attacks.json").write_text(text)
        if before is not None:
            before(world)
        caller = _caller(world, runner, policy if sandboxed else None)
        settings = {"attacks": text, **({"discarded": "yes"} if policy.source == "discard" else {})}
        call_hook(caller, hook, str(world.out), settings)
        evidence = _evidence(world)
        if untried := {attack.name for attack in tried} - evidence.keys():
            raise UntriedError(f"the backend did not try every attack: {', '.join(sorted(untried))} missing")
        return Outcome(
            {attack.name: _judge(attack, world, evidence[attack.name]) for attack in tried},
            evidence,
            caller.reports[-1] if isinstance(caller, IsolatedHookCaller) else None,
            frozenset(name for name, values in arguments.items() if _has_allowed_target(values, world)),
        )


def _caller(world: World, runner: Any, policy: Policy | None) -> pyproject_hooks.BuildBackendHookCaller:
    arguments = (str(world.tree), "hostile", ["."], runner, str(world.python))
    if policy is None:
        return pyproject_hooks.BuildBackendHookCaller(*arguments)
    return IsolatedHookCaller(*arguments, policy=policy)


class UntriedError(IsolatedHooksError):
    """An attack was not tried to its end, so it has no outcome."""


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


def _has_allowed_target(arguments: Mapping[str, Any], world: World) -> bool:
    """Return whether the policy lets the hook reach the target of a probe: a path, or a variable."""
    for value in arguments.values():
        for text in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(text, str) and world.is_allowed(text):
                return True
    return False


def call_hook(caller: pyproject_hooks.BuildBackendHookCaller, hook: str, out: str, settings: dict[str, str]) -> Any:
    """Call a hook by its name, with the arguments that it takes, and return its result."""
    if hook == "_supported_features":
        return caller._supported_features()
    if hook.startswith("get_requires"):
        return getattr(caller, hook)(settings)
    if hook.startswith("prepare_metadata"):
        return getattr(caller, hook)(out, settings, _allow_fallback=False)
    os.makedirs(out, exist_ok=True)
    return getattr(caller, hook)(out, settings)
