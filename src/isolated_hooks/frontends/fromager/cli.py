"""The entry point in the group ``fromager.cli``. fromager loads it at its start, which makes the swap if the user asks.

fromager expects a click command with the name of the entry point. Only fromager looks ``command`` up, and fromager
depends on click, so this module imports click at that moment. An error here ends fromager before it does anything.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from typing import Any

from ...errors import IsolatedHooksError, PolicyError
from ...run.command import check_host
from .frontend import swapped
from .policies import SWITCH, Policies, requested

# It keeps the swap for the rest of the process: the swap ends if nothing refers to its context manager.
_swap = contextlib.ExitStack()


def __getattr__(name: str) -> Any:
    if name != "command":
        raise AttributeError(name)
    return _command()


@functools.lru_cache(maxsize=1)
def _command() -> Any:
    import click

    policies = _swap_if_asked()
    return click.Command(
        "isolated-hooks",
        callback=lambda: sys.exit(_print_state(policies)),
        help=f"Show whether build hooks are run in a sandbox. Set {SWITCH}=1 in the environment to run them in one.",
        short_help="show whether build hooks are run in a sandbox",
    )


def _swap_if_asked() -> Policies | None:
    try:
        policies = requested(os.environ)
        if policies is not None:
            _swap.enter_context(swapped(policies))
    except IsolatedHooksError as error:
        print(f"ERROR {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, PolicyError) else 3) from error
    return policies


def _print_state(policies: Policies | None) -> int:
    if policies is None:
        print(f"Hooks are run without a sandbox. Set {SWITCH}=1, or use 'isolated-hooks fromager'.")
        return 1
    try:
        states = check_host(policies(""))
    except IsolatedHooksError as error:
        print(f"Hooks must run in a sandbox, but isolated-hooks would refuse to run them here: {error}")
        return 3
    print("Hooks are run in a sandbox.")
    for status in states:
        print(f"  {status.protection.value:12} {status.state.value:12} {status.reason}")
    return 0
