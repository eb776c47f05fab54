"""``isolated-hooks build``: ``python -m build``, with every hook in a sandbox."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence

from ..errors import PolicyError
from ..run.command import check_host
from ..text import visible
from . import messages
from .options import add_output_options, add_policy_options, policy_of, spelled_out

try:
    from ..frontends import build
except ImportError as problem:
    raise PolicyError(
        f"cannot import build into {visible(sys.executable)}: {visible(str(problem))}. Remedy: install build 1.3 or "
        "newer in the same environment as isolated-hooks"
    ) from problem

_PROG = "isolated-hooks build"


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    own = argparse.ArgumentParser(prog=_PROG, add_help=False, allow_abbrev=False)
    _add_options(own)
    options, theirs = own.parse_known_args(spelled_out(own, arguments))
    if _asks(theirs, "-h", "--help"):
        parser = build.parser(_PROG)
        _add_options(parser)
        parser.print_help()
        return 0
    quiet, ready = False, None
    policy = policy_of(options)
    if not _asks(theirs, "-V", "--version"):
        # build's own parser goes first, so a usage error is a usage error on any host.
        quiet = build.parser(_PROG).parse_args(theirs).verbosity < 0
        ready = functools.partial(check_host, policy)
    code, reports = build.run(theirs, policy, prog=_PROG, raw_output=options.raw_output, ready=ready)
    if not quiet:
        messages.summary(reports)
    return code


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_policy_options(parser)
    add_output_options(parser)


def _asks(arguments: Sequence[str], *flags: str) -> bool:
    return any(argument in flags for argument in arguments)
