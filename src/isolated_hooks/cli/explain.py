"""``isolated-hooks explain``: describe the plan for a hook, without running the hook."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence

import pyproject_hooks

from ..errors import PolicyError
from ..files.spelling import absolute
from ..hookcall import OUTPUTS, HookCall
from ..plan import Discarded, Layout
from ..plan.identities import choose_identity
from ..plan.planner import plan_hook
from ..policy import HOOKS
from ..run.situation import situation_of
from ..text import visible
from .options import add_policy_options, policy_of, spelled_out

_LAYOUT = Layout(*(f"(workspace)/{name}" for name in ("scratch", "control", "staging", "empty", "nothing")))
_CONTROL = "/tmp/(control directory)"


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="isolated-hooks explain", description="Describe the plan for a hook, without running the hook."
    )
    parser.add_argument("srcdir", nargs="?", default=".", help="the source tree (default: the current directory)")
    parser.add_argument("--hook", choices=HOOKS, default="build_wheel", help="the hook (default: %(default)s)")
    text = "the interpreter of the build environment (default: the one that runs isolated-hooks)"
    parser.add_argument("--python", default=sys.executable, help=text)
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    add_policy_options(parser)
    options = parser.parse_args(spelled_out(parser, arguments))
    source = absolute(options.srcdir)
    if not os.path.isdir(source):
        raise PolicyError(f"the source tree {visible(source)!r} is not a directory")
    policy = policy_of(options)
    situation = situation_of(source, policy)
    if policy.source == "discard":
        confined = choose_identity(situation.owners, situation.refused)[0].confined
        situation = dataclasses.replace(situation, discarded=Discarded("(view)", overlay=not confined))
    plan = plan_hook(_call(options.hook, source, options.python), policy, situation, _LAYOUT, {})
    if options.json:
        print(json.dumps(plan.to_dict(), indent=2))
    else:
        for line in plan.describe():
            print(visible(line))
    return 0


def _call(hook: str, source: str, python: str) -> HookCall:
    script = os.path.join(os.path.dirname(pyproject_hooks.__file__), "_in_process", "_in_process.py")
    kwargs = {OUTPUTS[hook]: os.path.join(source, "dist")} if hook in OUTPUTS else {}
    return HookCall(python, script, hook, _CONTROL, source, kwargs)
