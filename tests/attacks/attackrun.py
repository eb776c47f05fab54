"""One run of one hook of the hostile backend, with or without the sandbox, and the verdicts on every attack."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable
from typing import Any

import pyproject_hooks
from attacktable import ATTACKS, Attack
from attackworld import World

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.policy import HOOKS
from isolated_hooks.report import HookReport

__all__ = ["HOOKS", "Outcome", "call_hook", "conduct"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a run.

    :ivar succeeded: for each attack whether it did, judged from outside
    :ivar evidence: what the backend wrote, for messages
    :ivar report: of the sandbox, ``None`` without it
    """

    succeeded: dict[str, bool]
    evidence: dict[str, Any]
    report: HookReport | None


def conduct(
    hook: str, *, sandboxed: bool, before: Callable[[World], None] | None = None, launcher: str = "native"
) -> Outcome:
    """Run a hook that carries out every attack, in a new world.

    :param before: changes the world before the hook starts, for instance the owners of the source tree
    :param launcher: what sets the sandbox up
    """
    with World() as world:
        isolated = functools.partial(IsolatedHookCaller, policy=Policy(launcher=launcher))
        make = isolated if sandboxed else pyproject_hooks.BuildBackendHookCaller
        runner = world.inner_runner()
        attacks = [attack for attack in ATTACKS if not attack.needs_more() or attack.needs != "root"]
        text = json.dumps({a.name: {"probe": a.probe, "arguments": a.arguments(world)} for a in attacks})
        (world.tree / "attacks.json").write_text(text)
        if before is not None:
            before(world)
        caller = make(str(world.tree), "hostile", ["."], runner, str(world.python))
        call_hook(caller, hook, str(world.out), {"attacks": text})
        evidence = json.loads((world.tree / "evidence.json").read_text())
        assert evidence.keys() == {attack.name for attack in attacks}, "the backend did not try everything"
        return Outcome(
            {attack.name: _judge(attack, world, evidence[attack.name]) for attack in attacks},
            evidence,
            caller.reports[-1] if isinstance(caller, IsolatedHookCaller) else None,
        )


def _judge(attack: Attack, world: World, evidence: Any) -> bool:
    assert "crashed" not in (evidence or ()), f"{attack.name} was not tried to its end: {evidence}"
    return attack.succeeded(world, evidence)


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
