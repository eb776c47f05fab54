"""pypa/build's own command line, with its hook caller swapped."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import build.__main__
import build._builder
import build.env
import build.util
import pyproject_hooks

from ...answers import Answers
from ...errors import IsolatedHooksError, PolicyError
from ...files.steered import Trees
from ...files.trees import remove_path
from ...launchers.warm import expect
from ...policy import Policy
from ...report import HookReport
from ...run.runners import warm_runner
from ...runner import IsolatedRunner
from ...swapping import swap
from ..filtering import FilteringRunner, text_filtered
from ..opening import watching
from ..restore import Restoring
from ..supplies import Supplies
from ..surroundings import Guarded, check_packages
from .downloads import Downloads
from .ends import bounded
from .environment import SandboxedEnv, unknown_build
from .given import check_given
from .inputs import Inputs, extracting, trees_of
from .reading import PyprojectReader
from .recording import Recorded
from .reporting import output_directory

__all__ = ["check_takes_sdists", "environments", "own_error", "parser", "run", "swapped"]

# What runs outside the sandbox after the first hook.
_PACKAGES = ("build", "installer", "packaging", "pyproject_hooks")


def parser(prog: str) -> argparse.ArgumentParser:
    """Return build's own parser, so that a caller can print its help."""
    build_parser: argparse.ArgumentParser = build.__main__.main_parser()
    build_parser.prog = prog
    return build_parser


def check_takes_sdists() -> None:
    """Check that this version of build builds sdists, and not only source trees.

    :raises PolicyError: it does not
    """
    if not hasattr(build.__main__, "_extract_sdist"):
        raise PolicyError(
            f"build {build.__version__} builds no sdists (expected 1.6 or newer). Remedy: install a newer build in the "
            "same environment as isolated-hooks, or unpack the sdist and name the directory"
        )


@contextmanager
def swapped(
    policy: Policy,
    *,
    raw_output: bool = True,
    reports: list[HookReport] | None = None,
    observes: bool = False,
    answers: Answers | None = None,
) -> Iterator[list[HookReport]]:
    """Replace ``pyproject_hooks.BuildBackendHookCaller`` with our class within the context, and yield the hook reports.

    build looks the class up in its module at every use. Some commands, such as ``--version``, never use it. build also
    reads each pyproject.toml through our reader.

    :param raw_output: whether to leave the output of hooks unfiltered; a command line filters it
    :param reports: the list that gets the reports, which then have details
    :param observes: reports say what hooks asked for and did not get
    :param answers: recorded answers of hooks, or the object that records them
    """
    runner = IsolatedRunner(policy) if raw_output else FilteringRunner(policy)
    if isinstance(runner, FilteringRunner):
        runner.progress = True
    # build unpacks the sdist with tarfile, which in some versions of Python follows links out of the directory.
    runner.unpacked = ("build_sdist",)
    if reports is not None:
        runner.reports, runner.detailed = reports, True
    runner.observes, runner.answers = observes, answers
    expect()  # run_bounded starts hooks
    with swap("pyproject_hooks", runner=runner, unused_ok=True) as swap_in_force, Restoring() as changes:
        if not hasattr(build._builder, "_read_pyproject_toml"):
            raise unknown_build()
        changes.attribute(build._builder, "_read_pyproject_toml", PyprojectReader(policy))
        yield swap_in_force.reports


@contextmanager
def environments(
    policy: Policy,
    reports: list[HookReport] | None = None,
    *,
    observes: bool = False,
    recorded: Recorded | None = None,
    supplies: Supplies | None = None,
    only_wheels: bool = False,
) -> Iterator[None]:
    """Have build's command line, and its functions that make an environment, make a :class:`SandboxedEnv`.

    It changes the whole process until the end of the context.

    :param reports: the list to which each environment appends one report for each hook of a build requirement
    :param observes: these reports say what the hooks asked for and did not get
    :param recorded: gets what each environment installs
    :param supplies: what the builds have of the other packages of their run
    :param only_wheels: refuse build requirements that exist only as sdists: their hooks would run
    :raises SandboxUnavailableError: this version of build makes its environments in an unknown way
    """
    original = build.env.DefaultIsolatedEnv
    modules = (build.env, build.__main__, build.util)
    if any(getattr(module, "DefaultIsolatedEnv", None) is not original for module in modules):
        raise unknown_build()

    class Env(SandboxedEnv):
        def __init__(self, **options: Any) -> None:
            super().__init__(policy=policy, **options)
            self.reports = [] if reports is None else reports
            self.observes = observes
            self._downloads = downloads
            self._recorded = recorded
            self._supplies = supplies or Supplies()
            self._only_wheels = only_wheels

    with closing(Downloads()) as downloads, Restoring() as changes:
        for module in modules:
            changes.attribute(module, "DefaultIsolatedEnv", Env)
        guarded = _guarded(vars(build.ProjectBuilder)["from_isolated_env"])
        changes.attribute(build.ProjectBuilder, "from_isolated_env", guarded)
        yield


@contextmanager
def _removing_all() -> Iterator[None]:
    """Have build's command line remove the sdist that it unpacked, even if hooks have changed modes or added links."""
    with Restoring() as changes:
        if hasattr(build.__main__, "shutil"):  # otherwise this version does not remove it with shutil
            replacement = SimpleNamespace(**{**vars(shutil), "rmtree": remove_path})
            changes.attribute(build.__main__, "shutil", replacement)
        yield


def _guarded(original: Any) -> Any:
    """Refuse every environment that is not ours. build passes it to a builder before it installs anything in it.

    The builder gets a runner that does the same as the default one, and whose launches may be warm.
    """

    def from_isolated_env(cls: Any, env: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(env, SandboxedEnv):
            raise unknown_build()
        if len(args) < 2:
            options["runner"] = warm_runner(options.get("runner", pyproject_hooks.default_subprocess_runner))
        return original.__func__(cls, env, *args, **options)

    return classmethod(from_isolated_env)


@contextmanager
def _holding(inputs: Inputs) -> Iterator[None]:
    """Have build's command line use what ``inputs`` hold in the place of what its arguments name."""
    make_parser = build.__main__.main_parser

    def main_parser() -> argparse.ArgumentParser:
        build_parser: Any = make_parser()
        parse = build_parser.parse_args
        build_parser.parse_args = lambda *args, **kwargs: inputs.hold(parse(*args, **kwargs))
        return cast(argparse.ArgumentParser, build_parser)

    with Restoring() as changes:
        changes.attribute(build.__main__, "main_parser", main_parser)
        if hasattr(build.__main__, "_extract_sdist"):  # otherwise this version has no --sdist-extract-dir
            changes.attribute(build.__main__, "_extract_sdist", extracting(build.__main__._extract_sdist, inputs))
        yield


def run(
    arguments: Sequence[str],
    policy: Policy,
    *,
    prog: str,
    raw_output: bool = False,
    ready: Callable[[], object] | None = None,
    detailed: list[HookReport] | None = None,
    observes: bool = False,
    recorded: Callable[[list[HookReport]], Recorded] | None = None,
    answers: Answers | None = None,
    trees: Collection[str] = (),
    supplies: Supplies | None = None,
) -> tuple[int, list[HookReport]]:
    """Run build's command line and return its exit code and a report for each hook.

    It changes the whole process until its end: what the process searches must not lead into the source tree.

    :param raw_output: whether to leave all output unfiltered, see :mod:`isolated_hooks.outputfilter`
    :param ready: ``run`` calls it after build's parser has accepted the arguments and before the build
    :param detailed: the list that gets the reports, which then have details, also if the build fails
    :param observes: as for :func:`swapped`
    :param recorded: takes the list of reports, and returns what gets what each environment installs
    :param answers: recorded answers of hooks, or the object that records them; build requirements are then only wheels
    :param trees: further directories to which hooks of other processes may write at the same time
    :param supplies: what the build has of the other packages of its run
    :raises NeedsError: another package of the run has to be built first
    :raises IsolatedHooksError: another error of this package stopped the build
    """
    # build's own messages hold what pyproject.toml says, which an earlier hook may have written. A document on its
    # standard output is for programs.
    printed = () if raw_output else ("stderr",) if "--metadata" in arguments else ("stdout", "stderr")
    options = parser(prog).parse_args(arguments)
    check_given(options, policy)
    if answers is not None:
        answers.leave_out(output_directory(options))
        answers.built_from(options.srcdir)
    with (
        swapped(policy, raw_output=raw_output, reports=detailed, observes=observes, answers=answers) as reports,
        environments(
            policy,
            reports,
            observes=observes,
            recorded=recorded and recorded(reports),
            supplies=supplies,
            only_wheels=answers is not None,
        ),
        _removing_all(),
        bounded(tracebacks=options.verbosity > 0),
        text_filtered(*printed),
        Guarded(policy) as guard,
        watching(build.BuildException),
    ):
        try:
            steered = Trees([*trees_of(options, policy), *trees])
            check_packages(steered, _PACKAGES)
            guard.add(*steered.written)
            if ready is not None:
                ready()
            with Inputs(steered, guard.copies) as inputs, _holding(inputs):
                build.__main__.main(arguments, prog)
        except SystemExit as end:
            problem = own_error(end)
            if problem is not None:
                raise problem from None
            return end.code if isinstance(end.code, int) else int(end.code is not None), reports
    return 0, reports


def own_error(end: BaseException) -> IsolatedHooksError | None:
    """Return the error of this package that made build exit, or ``None`` if it was another error.

    build wraps each exception of a hook caller, with the original as ``exception``, prints it, and exits with 1.
    """
    seen: BaseException | None = end
    while seen is not None:
        inner = getattr(seen, "exception", seen)
        if isinstance(inner, IsolatedHooksError):
            return inner
        seen = seen.__cause__ or seen.__context__
    return None
