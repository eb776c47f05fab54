"""What fromager loads by the entry point group ``fromager.cli`` at its start: ``command``, and the swap if asked for.

fromager wants a click command of the entry point's name. Only fromager asks for it, so click, which it depends on, is
imported when it does. An error here ends fromager before it has done anything.
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

# For the rest of the process; a context manager that nothing holds would end the swap.
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
        help=f"Say whether build hooks are run in a sandbox; {SWITCH}=1 in the environment has them run in one.",
        short_help="say whether build hooks are run in a sandbox",
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
        print(f"Hooks are to be run in a sandbox, and would be refused: {error}")
        return 3
    print("Hooks are run in a sandbox.")
    for status in states:
        print(f"  {status.protection.value:12} {status.state.value:12} {status.reason}")
    return 0
