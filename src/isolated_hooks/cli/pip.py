"""``isolated-hooks pip``: pip, with every hook in a sandbox."""

from __future__ import annotations

import argparse
import functools
import logging
import os
from collections.abc import Sequence

from ..frontends import pip
from ..run.command import check_host
from ..run.explaining import LOGGER
from . import TRACEBACKS, exit_code_of, messages
from .options import add_output_options, add_policy_options, policy_of, spelled_out

_PROG = "isolated-hooks pip"
_COMMANDS = frozenset(
    """cache check completion config debug download freeze hash help index inspect install list lock search show
    uninstall wheel""".split()
)
_BUILDING = frozenset(("download", "install", "lock", "wheel"))
_HELP = frozenset(("-h", "--help", "-V", "--version"))


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=_PROG,
        usage=f"{_PROG} [sandbox options] [pip's options] COMMAND ...",
        description="Run pip, with every hook in a sandbox. For pip's own help, run 'isolated-hooks pip help'.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--pip",
        metavar="PATH",
        help="the pip to run: a wheel of pip, or the directory that contains the package (default: the pip of the "
        "Python that runs isolated-hooks)",
    )
    add_policy_options(parser)
    add_output_options(parser)
    # Some of pip's options have the same names as ours, so ours come before pip's command.
    end = next((i for i, argument in enumerate(arguments) if argument in _COMMANDS), len(arguments))
    options, general = parser.parse_known_args(spelled_out(parser, arguments[:end]))
    theirs = [*general, *arguments[end:]]
    policy = policy_of(options)
    # Otherwise logging prints a traceback for each message that the output does not take, of a full disk for instance.
    logging.raiseExceptions = TRACEBACKS in os.environ
    logging.getLogger(LOGGER).propagate = False  # the summary shows what it says
    builds = bool(_BUILDING.intersection(theirs)) and not _HELP.intersection(theirs)
    ready = functools.partial(check_host, policy) if builds else None
    outcome = pip.run(theirs, policy, prog=_PROG, pip=options.pip, raw_output=options.raw_output, ready=ready)
    return _finish(outcome)


def _finish(outcome: pip.Outcome) -> int:
    """Print the summary and the last error, and return the exit code."""
    record = outcome.record
    if not record.quiet:
        messages.summary(record.reports)
    for problem in record.problems[-1:]:
        messages.error(problem.text)
    codes = [exit_code_of(problem.kind) for problem in record.problems] if outcome.code else []
    # pip has no exit code for a sandbox that could not be set up.
    return next((code for code in codes if code != 1), outcome.code)
