"""``isolated-hooks build``: ``python -m build``, with every hook in a sandbox."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
from collections.abc import Callable, Sequence

from .. import __version__
from ..errors import IsolatedHooksError, PolicyError
from ..files.replaced import ReplacedFile
from ..policy import Policy
from ..report import HookReport
from ..run.command import check_host
from . import messages
from .answering import Answering, add_answer_options
from .missing import without_build
from .options import add_output_options, add_policy_options, policy_of, spelled_out, typed_paths

__all__ = ["build", "main"]

try:
    from ..frontends import build
    from ..frontends.build.inputs import trees_of
    from ..frontends.build.provenance import Provenance
    from ..frontends.build.reporting import document
except ImportError as problem:
    raise without_build(problem) from problem

_PROG = "isolated-hooks build"
_Start = Callable[..., tuple[int, list[HookReport]]]


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
    policy = policy_of(options)
    if _asks(theirs, "-V", "--version"):
        return build.run(theirs, policy, prog=_PROG, raw_output=options.raw_output)[0]
    # build's own parser goes first, so a usage error is a usage error on any host.
    parsed = build.parser(_PROG).parse_args(theirs)
    ready = functools.partial(check_host, policy, observes=options.explain_denials)
    start = functools.partial(build.run, theirs, policy, prog=_PROG, raw_output=options.raw_output, ready=ready)
    if options.explain_denials:
        start = functools.partial(start, observes=True)
    if options.sign_key is not None and options.provenance is None:
        raise PolicyError("--sign-key: nothing to sign (expected --provenance DIR, too)")
    with contextlib.ExitStack() as stack:
        answering = stack.enter_context(Answering(options, trees_of(parsed, policy)))
        start = functools.partial(start, answers=answering.answers)
        statements = None
        if options.provenance is not None:
            statements = stack.enter_context(_provenance(options, parsed, policy))
            start = functools.partial(start, recorded=statements.recorded)
        if options.explain_denials:
            code = _explained(options.report, parsed, policy, start)
        else:
            code, reports = start() if options.report is None else _reported(options.report, parsed, policy, start)
            if parsed.verbosity >= 0:
                messages.summary(reports)
        if statements is not None and code == 0:
            names = statements.write()
            if parsed.verbosity >= 0:
                signed = "signed" if options.sign_key is not None else "unsigned"
                messages.note(f"Wrote {signed} statements to {options.provenance}: {', '.join(names)}")
        if code == 0:
            answering.finish(quiet=parsed.verbosity < 0)
    return code


def _provenance(options: argparse.Namespace, parsed: argparse.Namespace, policy: Policy) -> Provenance:
    if parsed.metadata:
        raise PolicyError("--provenance: not allowed with --metadata")
    return Provenance(
        options.provenance,
        parsed,
        policy,
        version=__version__,
        typed=typed_paths(options),
        observed=options.explain_denials,
        key=options.sign_key,
    )


def _explained(path: str | None, parsed: argparse.Namespace, policy: Policy, start: _Start) -> int:
    """Run a build, and print what its hooks were denied, also if an error ends it."""
    reports: list[HookReport] = []
    try:
        if path is None:
            code, _ = start(detailed=reports)
        else:
            code, _ = _reported(path, parsed, policy, start, reports)
        if parsed.verbosity >= 0:
            messages.summary(reports)
    finally:
        messages.denials(reports)
    return code


def _reported(
    path: str, parsed: argparse.Namespace, policy: Policy, start: _Start, reports: list[HookReport] | None = None
) -> tuple[int, list[HookReport]]:
    """Run a build and write its report, whether it succeeds or fails. Before it, check that the report can be written.

    :param reports: the list that gets the reports of hooks
    :raises PolicyError: it cannot
    """
    if parsed.metadata:
        raise PolicyError("--report: not allowed with --metadata")
    reports = [] if reports is None else reports
    make = functools.partial(document, reports, options=parsed, policy=policy, version=__version__)
    with ReplacedFile(path, "--report", (parsed.srcdir,) if os.path.isdir(parsed.srcdir) else ()) as file:
        try:
            code, _ = start(detailed=reports)
        except BaseException as problem:
            with contextlib.suppress(OSError, IsolatedHooksError):  # the error of the build says more
                file.write(_encoded(make(error=str(problem) or type(problem).__name__)))
            raise
        file.write(_encoded(make(error=f"the build ended with exit code {code}" if code else "")))
    return code, reports


def _encoded(values: object) -> bytes:
    return json.dumps(values, indent=2).encode("ascii") + b"\n"


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_policy_options(parser)
    add_output_options(parser)
    add_answer_options(parser)
    parser.add_argument(
        "--explain-denials",
        action="store_true",
        help="observe what hooks ask for, which is slower, and print what they were denied and how to allow it",
    )
    parser.add_argument(
        "--provenance",
        metavar="DIR",
        help="write statements into DIR for each wheel and sdist: how it was built, and what was enforced meanwhile",
    )
    parser.add_argument(
        "--sign-key",
        metavar="FILE",
        help="sign the statements with the private Ed25519 key in FILE; needs isolated-hooks[sign]",
    )
    if not any("--report" in action.option_strings for action in parser._actions):  # build has it since 1.6
        parser.add_argument(
            "--report", metavar="PATH", help="write a report in JSON: what was built, and what each hook did"
        )


def _asks(arguments: Sequence[str], *flags: str) -> bool:
    return any(argument in flags for argument in arguments)
