"""``isolated-hooks explain``: describe the plan for a hook, without running the hook."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from ..errors import PolicyError
from ..files.spelling import absolute
from ..policy import HOOKS
from ..run.preview import preview
from ..text import visible
from .options import add_policy_options, policy_of, spelled_out


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
    plan = preview(source, policy_of(options), hook=options.hook, python=options.python)
    if options.json:
        print(json.dumps(plan.to_dict(), indent=2))
    else:
        for line in plan.describe():
            print(visible(line))
    return 0
