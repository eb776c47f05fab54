"""``isolated-hooks fromager``: fromager, with every hook in a sandbox."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Sequence

from ..errors import PolicyError
from ..frontends import fromager
from ..frontends.filtering import filtering
from ..frontends.fromager.frontend import work_directory
from ..frontends.fromager.policies import SWITCH
from ..run.command import check_host
from ..run.explaining import LOGGER
from . import TRACEBACKS, messages
from .answering import Answering, add_answer_options
from .options import add_output_options, add_policy_options, leading_options, policies_of

_PROG = "isolated-hooks fromager"
_BUILDING = frozenset(("bootstrap", "bootstrap-parallel", "build", "build-parallel", "build-sequence", "step"))


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=_PROG,
        add_help=False,
        allow_abbrev=False,
        usage=f"{_PROG} [sandbox options] [fromager's options] COMMAND [ARGUMENT ...]",
    )
    add_policy_options(parser)
    add_output_options(parser)
    add_answer_options(parser)
    own, theirs = leading_options(parser, arguments)
    options = parser.parse_args(own)
    if options.package is not None:
        raise PolicyError("--package: fromager builds many packages, and each has its own table in --config; omit it")
    options.config = options.config or _configured()
    policies = policies_of(options)
    if theirs[:1] == ["--help"]:
        print(parser.format_help())
    elif theirs and not {"--help", "--version"} & {*theirs}:
        check_host(policies(None))
    # While it builds, fromager logs the output of hooks, so filter it. Its other commands print tables, which fit the
    # width of the terminal only if stdout is that terminal.
    # Otherwise logging prints a traceback for each message that the output does not take, of a full disk for instance.
    logging.raiseExceptions = TRACEBACKS in os.environ
    logging.getLogger(LOGGER).propagate = False  # the summary shows what it says
    shows_hooks = not options.raw_output and bool(_BUILDING.intersection(theirs))
    with Answering(options, [work_directory(theirs)]) as answering:
        with filtering() if shows_hooks else contextlib.nullcontext():
            code, reports = fromager.run(theirs, policies, prog=_PROG, answers=answering.answers)
        messages.summary(reports)
        if code == 0:
            answering.finish()
    return code


def _configured() -> str | None:
    """Return the policy file that :data:`SWITCH` names, and unset the variable, because this command does the swap."""
    value = os.environ.pop(SWITCH, "")
    return value if os.path.isabs(value) else None
