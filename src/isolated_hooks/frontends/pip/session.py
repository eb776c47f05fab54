"""One run of pip's command line in this process."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...answers import Answers
from ...policy import Policy
from ..surroundings import Guarded
from .further import named_files
from .records import add_record
from .runner import PipRunner
from .seams import swapped

__all__ = ["PROGRAM", "main"]

#: The script that an interpreter runs in place of pip. This module does not import it, because it calls :func:`main`.
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py")


def main(arguments: Sequence[str], state: Mapping[str, Any], *, ready: Callable[[], object] | None = None) -> int:
    """Run pip's command line according to a state, and return its exit code.

    :param state: the state that this pip shares with all pips that it starts, see ``program.py``
    :param ready: as :func:`.command.run`
    :raises IsolatedHooksError: this pip cannot run with its hooks in a sandbox
    """
    if ready is not None:
        code = _usage_error(arguments)
        if code is not None:
            return code
        ready()
    policy = Policy(**state["policy"])
    runner = PipRunner(policy, state["packages"].values())
    runner.observes = bool(state.get("observes"))
    if state.get("refuses"):
        runner.answers = Answers.none()
    runner.named = named_files(arguments)
    runner.trees.update(state.get("trees", ()))
    raw = state["raw_output"]
    with Guarded(policy) as guard, swapped(runner, PROGRAM, alone=True, raw_output=raw, guard=guard, state=state):
        guard.add(*runner.trees)
        try:
            code = _run_pip(arguments)
        finally:
            if state["records"]:
                quiet = logging.getLogger().level > logging.INFO and logging.getLogger().hasHandlers()
                add_record(state["records"], runner.reports, runner.problems, quiet=quiet)
    return code


def _run_pip(arguments: Sequence[str]) -> int:
    module = importlib.import_module("pip._internal.cli.main")
    # From 26 on, cli() also keeps pip from importing packages that it has just installed.
    entry = getattr(module, "cli", module.main)
    try:
        code = entry(list(arguments))
    except SystemExit as end:
        code = end.code
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
    return code if isinstance(code, int) else int(code is not None)


def _usage_error(arguments: Sequence[str]) -> int | None:
    """Return the exit code of a usage error that pip's own parser finds, or ``None``.

    The parser runs first, so that a usage error gets the same report on every host.
    """
    if any(argument.partition("=")[0] == "--python" for argument in arguments):
        return None  # the pip under that interpreter checks: some options depend on the packages there
    try:
        commands = importlib.import_module("pip._internal.commands")
        position = next(i for i, argument in enumerate(arguments) if argument in commands.commands_dict)
        # A command's parser also accepts the global options that precede the command.
        options = [*arguments[:position], *arguments[position + 1 :]]
        commands.create_command(arguments[position]).parse_args(options)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    except (AttributeError, ImportError, StopIteration):
        pass  # an unknown pip: swapped() refuses it with the reason
    return None
