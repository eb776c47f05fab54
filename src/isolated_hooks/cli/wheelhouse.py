"""``isolated-hooks wheelhouse``: a wheel of each of many packages, each built in sandboxes of its own."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from packaging.utils import canonicalize_name

from .. import __version__
from ..errors import IsolatedHooksError, PolicyError, SandboxSetupError, SandboxUnavailableError
from ..files.replaced import ReplacedFile
from ..many.batch import Batch
from ..many.cores import cores_here, share
from ..many.memory import peaks_of
from ..many.outcomes import BuildResult, Outcome
from ..many.pinned import read_pins
from ..many.requests import BuildRequest, Task, check_tasks, checked, pinned
from ..many.resuming import Standing, inputs_of, read_records, write_record
from ..policy import Policy
from ..run.command import check_host
from ..text import visible
from . import messages
from .missing import without_build
from .options import add_policy_options, policies_of, spelled_out

try:
    from ..many import fetching, reporting
except ImportError as problem:
    raise without_build(problem) from problem

#: A thread imports it late, where only requirements are pinned. So it is imported here, before any hook runs.
_FETCHING = fetching
_PROG = "isolated-hooks wheelhouse"
_MOST_JOBS = 1024
_NAME = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)
_DESCRIPTION = """\
Build a wheel of each package, each in a process and in sandboxes of its own. Exit codes: 0, all wheels are there; 1,
some are not; 2, wrong usage, and nothing was built; 3, the sandbox is unavailable; 130, interrupted."""


_HELP = {
    "--requirement": "build the sdists of the packages that FILE pins with lines NAME==VERSION, which pip fetches; may "
    "be repeated",
    "--wheel-dir": "the directory for the wheels, outside of every source tree",
    "--jobs": "build at most N packages at a time (default: the number of processor cores, which they share)",
    "--resume": "do not build a wheel again that an earlier run has built from the same sdist, under the same policy "
    "and with the same Python",
    "--independent": "build the packages in no particular order, and use no wheel of this run as a build requirement "
    "of another package",
    "--report": "write a report in JSON: each package, its result and its hooks",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    options = parser.parse_args(spelled_out(parser, arguments))
    if options.package is not None:
        raise PolicyError("--package: each package has its own table in --config; omit it")
    if not options.sdist and not options.requirement:
        raise PolicyError("expected an SDIST or -r FILE, got neither. Remedy: name at least one package")
    tasks = _tasks(options, policies_of(options))
    with contextlib.ExitStack() as stack:
        file = None
        if options.report is not None:
            trees = [tree for task in tasks for tree in task.written]
            file = stack.enter_context(ReplacedFile(options.report, "--report", trees))
        _check_hosts(dict.fromkeys(task.policy for task in tasks))
        run = _Run(tasks, options)
        results = run.results()
        # Whatever becomes of one of the two, the other one still tells what was built.
        try:
            if file is not None:
                values = reporting.document(tasks, results, version=__version__)
                file.write(json.dumps(values, indent=2).encode("ascii") + b"\n")
        finally:
            run.sum_up(results)
    if run.interrupted:
        raise KeyboardInterrupt
    return _code(results)


def _tasks(options: argparse.Namespace, policies: Callable[[str | None], Policy]) -> list[Task]:
    """Return a checked task for each package.

    :raises PolicyError: there is one that cannot be built
    """
    pins = [(path, pin) for path in options.requirement for pin in read_pins(path)]
    cores = share(cores_here(), min(options.jobs, len(pins) + len(options.sdist)))
    tasks = [pinned(pin, options.wheel_dir, policies(pin.project[0]), cores) for _, pin in pins]
    labels = [f"{visible(path, limit=300)}: {pin.text}" for path, pin in pins]
    for text in options.sdist:
        named, path = _named(text)
        label = f"SDIST {visible(text, limit=300)}"
        task = checked("SDIST", BuildRequest(path, options.wheel_dir, cores=cores), policies(None), named)
        if task.is_tree and named is None and task.name is not None and policies(task.name) != task.policy:
            raise PolicyError(
                f"{label}: the tree calls its project {task.name!r}, which has a table in --config (expected NAME=DIR "
                f"for a tree with a table: hooks may write to pyproject.toml). Remedy: name it, {task.name}={text}"
            )
        tasks.append(dataclasses.replace(task, policy=policies(task.name)))
        labels.append(label)
    check_tasks(tasks, labels)
    return tasks


def _named(text: str) -> tuple[str | None, str]:
    """Return the normalised name and the path of an argument ``NAME=PATH``, or no name and the whole argument."""
    name, equals, path = text.partition("=")
    if not equals or not _NAME.fullmatch(name) or os.path.lexists(text):
        return None, text
    return canonicalize_name(name), path


def _check_hosts(policies: Iterable[Policy]) -> None:
    """Check that this host gives the sandbox of at least one package. What it refuses to one is that one's result.

    :raises IsolatedHooksError: it gives none
    """
    problem: IsolatedHooksError | None = None
    for policy in policies:
        try:
            check_host(policy)
            return
        except (SandboxUnavailableError, SandboxSetupError) as error:
            problem = problem or error
    if problem is not None:
        raise problem


class _Run:
    """Builds the packages, and says what happens."""

    def __init__(self, tasks: Sequence[Task], options: argparse.Namespace) -> None:
        self._tasks = tasks
        self._options = options
        self._ended = 0
        self._waiting: set[str] = set()
        self.interrupted = False

    def results(self) -> Sequence[BuildResult]:
        """Build all, or what an interrupt leaves time for."""
        records = read_records(os.path.realpath(self._options.wheel_dir))
        with ThreadPoolExecutor(self._options.jobs) as executor:
            batch = Batch(
                self._tasks,
                executor,
                keep_going=self._options.keep_going,
                independent=self._options.independent,
                standing=records if self._options.resume else None,
                peaks=peaks_of(self._tasks, records.values()),
                begun=lambda task: messages.note(f"Building {task.label}"),
                waits=self._wait,
                ended=self._tell,
                summed_up=True,
            )
            results = batch.run()
        self.interrupted = batch.interrupted
        return results

    def sum_up(self, results: Sequence[BuildResult]) -> None:
        """Print the summary, also after an interrupt."""
        messages.summary([report for result in results for report in result.hooks])
        for line in reporting.table(self._tasks, results):
            print(line)
        print(reporting.totals(results))

    def _wait(self, task: Task, others: Sequence[Task]) -> None:
        if task.label not in self._waiting:
            self._waiting.add(task.label)
            messages.note(f"{task.label} waits for {', '.join(other.label for other in others)}")

    def _tell(self, task: Task, result: BuildResult) -> None:
        self._ended += 1
        count = f"({self._ended} of {len(self._tasks)})"
        if result.outcome is Outcome.STANDS:
            messages.note(f"{task.label} stands {count}")
        elif result.ok:
            messages.note(f"Built {task.label} in {result.seconds:.1f} s {count}")
            self._record(task, result)
        elif result.outcome is Outcome.STOPPED:
            messages.note(f"{task.label}: {result.error} {count}")
        else:
            messages.error(f"{task.label}: {result.outcome.value}: {result.error} {count}")
            for line in reporting.log_end(result):
                messages.quoted(line)

    def _record(self, task: Task, result: BuildResult) -> None:
        if result.wheel is None or not result.source_sha256:
            return
        inputs = inputs_of(result.source_sha256, task.policy, task.request.config_settings)
        try:
            standing = Standing(result.wheel, result.requirements, result.used, reporting.memory_of(result))
            write_record(standing, inputs)
        except (OSError, IsolatedHooksError) as problem:
            messages.note(f"{task.label}: no record for --resume was written: {problem}")


def _code(results: Sequence[BuildResult]) -> int:
    if all(result.ok for result in results):
        return 0
    return 3 if all(result.outcome is Outcome.UNAVAILABLE for result in results) else 1


def _jobs(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= _MOST_JOBS:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {_MOST_JOBS}, got {text!r}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_PROG, description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument(
        "sdist",
        metavar="SDIST",
        nargs="*",
        help="an sdist NAME-VERSION.tar.gz, a source tree, or NAME=DIR for a source tree whose name decides its policy",
    )
    for flags, settings in (
        (("-r", "--requirement"), {"metavar": "FILE", "action": "append", "default": []}),
        (("-w", "--wheel-dir"), {"metavar": "DIR", "required": True}),
        (("-j", "--jobs"), {"metavar": "N", "type": _jobs, "default": cores_here()}),
        (("--resume",), {"action": "store_true"}),
        (("--independent",), {"action": "store_true"}),
        (("--report",), {"metavar": "FILE"}),
    ):
        parser.add_argument(*flags, help=_HELP[flags[-1]], **settings)
    goes_on = parser.add_mutually_exclusive_group()
    goes_on.add_argument(
        "--keep-going",
        action="store_true",
        default=True,
        help="begin further builds after one has failed, which is the default",
    )
    goes_on.add_argument(
        "--fail-fast", dest="keep_going", action="store_false", help="begin no further build after one has failed"
    )
    add_policy_options(parser)
    return parser
