"""The plan of a hook that nobody has called: what a hook of a source tree would see."""

from __future__ import annotations

import dataclasses
import os
import sys

import pyproject_hooks

from ..hookcall import OUTPUTS, HookCall
from ..plan import Discarded, Layout, Plan
from ..plan.identities import choose_identity
from ..plan.planner import plan_hook
from ..policy import Policy
from .situation import repository_of, situation_of

__all__ = ["preview"]

_LAYOUT = Layout(*(f"(workspace)/{name}" for name in ("scratch", "control", "staging", "empty", "nothing")))
_CONTROL = "/tmp/(control directory)"


def preview(source: str, policy: Policy, *, hook: str = "build_wheel", python: str = sys.executable) -> Plan:
    """Return the plan of a hook, with words in the place of the paths that only a call has.

    :param source: absolute path of the source tree
    :param python: the interpreter of the build environment
    :raises PolicyError: no plan can show the tree, or a path of the policy
    :raises SandboxSetupError, SandboxUnavailableError: this host gives no sandbox
    """
    situation = dataclasses.replace(situation_of(source, policy), repository=repository_of(source, policy))
    if policy.source == "discard":
        confined = choose_identity(situation.owners, situation.refused)[0].confined
        situation = dataclasses.replace(situation, discarded=Discarded("(view)", overlay=not confined))
    script = os.path.join(os.path.dirname(pyproject_hooks.__file__), "_in_process", "_in_process.py")
    kwargs = {OUTPUTS[hook]: os.path.join(source, "dist")} if hook in OUTPUTS else {}
    return plan_hook(HookCall(python, script, hook, _CONTROL, source, kwargs), policy, situation, _LAYOUT, {})
