"""One run of pip's command line in this process."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...policy import Policy
from .records import add_record
from .seams import PipRunner, swapped

__all__ = ["PROGRAM", "main"]

#: The file that an interpreter is given in the place of pip. Not imported here: it is what calls :func:`main`.
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py")


def main(arguments: Sequence[str], state: Mapping[str, Any], *, ready: Callable[[], object] | None = None) -> int:
    """Run pip's command line as a state says, and return its exit code.

    :param state: what this pip has in common with all pips that it starts, see ``program.py``
    :param ready: as :func:`.command.run`
    :raises IsolatedHooksError: this pip cannot be run so
    """
    if ready is not None:
        code = _usage_error(arguments)
        if code is not None:
            return code
        ready()
    runner = PipRunner(Policy(**state["policy"]), state["packages"].values())
    with swapped(runner, PROGRAM, alone=True, raw_output=state["raw_output"]):
        try:
            code = _run_pip(arguments)
        finally:
            if state["records"]:
                quiet = logging.getLogger().level > logging.INFO and logging.getLogger().hasHandlers()
                add_record(state["records"], runner.reports, runner.problems, quiet=quiet)
    return code


def _run_pip(arguments: Sequence[str]) -> int:
    module = importlib.import_module("pip._internal.cli.main")
    # From 26 on cli() also keeps what was just installed from being imported.
    entry = getattr(module, "cli", module.main)
    try:
        code = entry(list(arguments))
    except SystemExit as end:
        code = end.code
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
    return code if isinstance(code, int) else int(code is not None)


def _usage_error(arguments: Sequence[str]) -> int | None:
    """Let pip's own parser speak first: a usage error is one on any host. Return its exit code, if it is one."""
    if any(argument.partition("=")[0] == "--python" for argument in arguments):
        return None  # for the pip by that interpreter to say: some options depend on what is installed there
    try:
        commands = importlib.import_module("pip._internal.commands")
        position = next(i for i, argument in enumerate(arguments) if argument in commands.commands_dict)
        # What stands before the command may as well stand behind it.
        rest = [*arguments[:position], *arguments[position + 1 :]]
        commands.create_command(arguments[position]).parse_args(rest)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    except (AttributeError, ImportError, StopIteration):
        pass  # another pip than is known, which is refused with the reason when it is to be run
    return None
