"""``isolated-hooks learn``: find the smallest policy under which a project builds.

Each build is observed, works on a view of the source tree that is thrown away, and leaves no artefact.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence

from ..errors import HookProcessError, IsolatedHooksError, PolicyError, SandboxSetupError, SandboxUnavailableError
from ..files.paths import is_within
from ..files.replaced import ReplacedFile
from ..files.spelling import absolute
from ..observe.candidates import Allowances, Judge, policy_with
from ..observe.learning import Learned, Outcome, document, learn
from ..policy import Policy
from ..policy.hosts import parse_host
from ..report import HookReport
from ..run.command import check_host
from ..run.workspace import PrivateDirectory
from ..text import visible
from . import messages
from .build import build
from .options import add_output_options, add_policy_options, policy_of, spelled_out

_PROG = "isolated-hooks learn"
_RUNS, _MOST_RUNS = 6, 50
# The options of build's that this command has no use for, by their names in build's parser.
_REFUSED = {
    "outdir": "--outdir: not allowed with learn, which keeps no artefact",
    "metadata": "--metadata: not allowed with learn, which builds",
    "sdist_extract_dir": "--sdist-extract-dir: not allowed with learn, which keeps no artefact",
    "report": "--report: not allowed with learn, whose builds are thrown away: use build --explain-denials --report",
}
_DESCRIPTION = """\
Build SRCDIR in a view that is thrown away, look at what hooks ask for and do not get, and print the smallest policy
under which it builds. Exit codes: 0, it builds with that policy; 1, it does not, or only with a flag that is not given;
2, wrong usage; 3, the sandbox is unavailable, or cannot observe."""


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    own = argparse.ArgumentParser(prog=_PROG, add_help=False, allow_abbrev=False)
    _add_options(own)
    options, theirs = own.parse_known_args(spelled_out(own, arguments))
    if any(argument in ("-h", "--help") for argument in theirs):
        parser = build.parser(_PROG)
        parser.description = _DESCRIPTION
        _add_options(parser)
        parser.print_help()
        return 0
    policy = _policy(options)
    allowed = _allowances(options)
    parsed = build.parser(_PROG).parse_args(theirs)
    _check(parsed)
    source = str(parsed.srcdir)
    with contextlib.ExitStack() as stack:
        file = None
        if options.output is not None:
            _refuse_existing(options)
            file = stack.enter_context(ReplacedFile(options.output, "--output", (source,)))
        check_host(policy, observes=True)
        builds = _Builds(theirs, policy, raw_output=options.raw_output)
        judge = Judge(os.path.realpath(os.path.expanduser("~")), allowed, os.path.exists)
        learned = learn(builds.run, policy, judge, most=options.max_runs, tell=messages.note)
        _end(learned, builds.reports.get(policy_with(policy, learned.lines), []), source)
        text = document(learned, source)
        if file is None:
            sys.stdout.write(text)
        else:
            _refuse_existing(options)
            file.write(text.encode("utf-8", "backslashreplace"))
    return 0 if learned.built else 1


def _end(learned: Learned, reports: Sequence[HookReport], source: str) -> None:
    """Tell what is not in the policy: what hooks were denied and do not need, and what takes a flag."""
    if learned.built and not learned.lines:
        messages.note(f"{source} builds under the present policy: it needs no line")
    if any(report.denied for report in reports):
        messages.denials(reports)
    for line in () if learned.built else learned.refused:
        messages.note(f"not tried: {line.key} {line.value}: to try it, pass {line.flag}")


def _policy(options: argparse.Namespace) -> Policy:
    if options.source not in (None, "discard"):
        raise PolicyError(f"--source: expected discard, got {options.source}: learn throws each build away")
    return dataclasses.replace(policy_of(options), source="discard")


def _allowances(options: argparse.Namespace) -> Allowances:
    home = os.path.realpath(os.path.expanduser("~"))
    homes = tuple(os.path.realpath(path) for path in options.allow_home)
    for entry, path in zip(options.allow_home, homes, strict=True):
        if not entry or not is_within(path, home):
            raise PolicyError(
                f"--allow-home: {visible(entry, limit=300)!r} is not in your home (expected a path in "
                f"{visible(home, limit=300)!r}). Remedy: other paths need no such flag"
            )
    for entry in options.allow_write:
        if not os.path.exists(entry):
            raise PolicyError(f"--allow-write: {visible(entry, limit=300)!r} does not exist (expected a directory)")
    return Allowances(
        network=options.allow_network,
        hosts=tuple(str(parse_host("--allow-host", host)) for host in options.allow_host),
        home=homes,
        write=tuple(map(os.path.realpath, options.allow_write)),
        credentials=tuple(absolute(c) if "/" in c else c for c in options.allow_credentials),
    )


def _check(parsed: argparse.Namespace) -> None:
    """Refuse what makes no sense here.

    :raises PolicyError: an option is not allowed, or the source tree is no directory
    """
    for name, problem in _REFUSED.items():
        if getattr(parsed, name, None):
            raise PolicyError(problem)
    if not os.path.isdir(parsed.srcdir):
        raise PolicyError(
            f"SRCDIR: {visible(str(parsed.srcdir), limit=300)!r} is no directory (expected a source tree). Remedy: "
            "unpack an sdist first"
        )


def _refuse_existing(options: argparse.Namespace) -> None:
    if not options.force and os.path.lexists(options.output):
        raise PolicyError(
            f"--output: {visible(options.output, limit=300)!r} exists. Remedy: name another file, or add --force"
        )


class _Builds:
    """Builds one project under several policies.

    :param arguments: build's own
    :param policy: the first policy
    :ivar reports: those of the hooks of each build, by its policy
    """

    def __init__(self, arguments: Sequence[str], policy: Policy, *, raw_output: bool) -> None:
        self._arguments = arguments
        self._policy = policy
        self._raw_output = raw_output
        self.reports: dict[Policy, list[HookReport]] = {}

    def run(self, policy: Policy) -> Outcome:
        """Build once.

        :raises SandboxUnavailableError: the sandbox is unavailable
        :raises SandboxSetupError: it could not be set up
        :raises PolicyError: the first policy does not fit
        """
        reports = self.reports[policy] = []
        with PrivateDirectory(prefix="learn-", shown=True) as output, _to_stderr():
            arguments = [*self._arguments, "--outdir", output.path]
            try:
                code, _ = build.run(
                    arguments, policy, prog=_PROG, raw_output=self._raw_output, detailed=reports, observes=True
                )
            except (SandboxUnavailableError, SandboxSetupError):
                raise
            except IsolatedHooksError as problem:
                if isinstance(problem, PolicyError) and policy == self._policy:
                    raise
                return _failed(reports, "" if isinstance(problem, HookProcessError) else str(problem))
        return Outcome(built=True) if code == 0 else _failed(reports, "")


def _failed(reports: Sequence[HookReport], said: str) -> Outcome:
    failed = next((report for report in reversed(reports) if report.error), None)
    if failed is None:
        return Outcome(built=False, failure=visible(said, limit=500) or "the build fails outside of hooks")
    cause = failed.hints[0].sentence if failed.hints else visible(said, limit=500) or "nothing points to the sandbox"
    others = tuple((r.hook, hint) for r in reports if r is not failed for hint in r.denied)
    return Outcome(
        built=False,
        failure=f"{visible(failed.hook)} fails: {cause}",
        failed=tuple((failed.hook, hint) for hint in failed.denied),
        others=others,
    )


@contextlib.contextmanager
def _to_stderr() -> Iterator[None]:
    """Send what this process and its children print to stderr: stdout is for the policy."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _runs(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= _MOST_RUNS:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {_MOST_RUNS}, got {text!r}")
    return number


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_policy_options(parser)
    add_output_options(parser)
    group = parser.add_argument_group("options of learn")
    group.add_argument("--max-runs", metavar="N", type=_runs, default=_RUNS, help=f"build at most N times ({_RUNS})")
    group.add_argument("--output", metavar="FILE", help="write the policy to FILE and not to stdout")
    group.add_argument("--force", action="store_true", help="let --output replace a file")
    group.add_argument("--allow-network", action="store_true", help="try the whole network, if a hook asks for it")
    for flag, name, text in (
        ("--allow-host", "HOST:PORT", "try this host, if a hook asks for it"),
        ("--allow-home", "PATH", "try what hooks ask for in this part of your home"),
        ("--allow-write", "PATH", "try to let hooks write there, if they ask for it"),
        ("--allow-credentials", "PATH|NAME", "try this place of credentials or this variable, if a hook asks for it"),
    ):
        group.add_argument(flag, metavar=name, action="append", default=[], help=f"{text}; may be repeated")
