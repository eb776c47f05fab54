"""fromager, with its hook caller swapped: it runs every hook of every package that it builds in a sandbox.

fromager looks ``pyproject_hooks.BuildBackendHookCaller`` up at each use, in its ``get_build_backend_hook_caller``. This
module wraps that function, too, because its arguments name the package, which has a policy and fromager settings of its
own. Downloads, ``uv pip install``, the wheel server and the other programs that fromager runs do not change, with two
exceptions:

- If fromager isolates the network, it does not start a hook through its wrapper, ``unshare --uts --net
  --map-root-user``. That wrapper maps a single uid, so root's hooks could not get a throw-away one. The sandbox has a
  network namespace of its own. fromager's other commands keep the wrapper, and fromager's runner still recognises
  hooks that fail for want of the network.
- fromager queries the distributions in each build environment with that environment's Python, which runs the ``.pth``
  files of the build requirements. This query runs in a sandbox.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from itertools import zip_longest
from types import ModuleType
from typing import Any

from ...answers import Answers
from ...errors import PolicyError, UntrustedResultError
from ...files.reading import read_file
from ...files.spelling import absolute
from ...files.steered import Trees
from ...hookcall import SubprocessRunner
from ...policy import HOOKS, Policy
from ...protections import ProtectionState
from ...report import HookReport
from ...results.boundedtoml import MAX_PYPROJECT, parse_toml
from ...run.command import run_command
from ...runner import IsolatedRunner
from ...swapping import swap
from ..build import own_error
from ..opening import watching
from ..restore import Restoring
from ..surroundings import Guarded
from .policies import Policies, policy_of_build, policy_of_query, scrubbing

__all__ = ["FromagerError", "run", "swapped", "work_directory"]

_logger = logging.getLogger(__name__)
# fromager builds in parallel threads, and each thread has a context of its own.
_policy: ContextVar[Policy | None] = ContextVar("isolated_hooks_policy", default=None)
_network_is_ours: ContextVar[bool] = ContextVar("isolated_hooks_network", default=False)
_in_query: ContextVar[bool] = ContextVar("isolated_hooks_query", default=False)
_QUERIES = ("get_distributions", "get_sysconfig_path")


class FromagerError(PolicyError):
    """fromager is not installed, or its version does not allow its hooks to run in a sandbox."""


class _Reports(list[HookReport]):
    """The reports of all hooks. It also logs each one, so that fromager's own log shows it with the package's name."""

    def append(self, report: HookReport) -> None:
        super().append(report)
        weaker = [s for s in report.protections if s.state is not ProtectionState.ACTIVE]
        active = len(report.protections) - len(weaker)
        _logger.info("%s ran in a sandbox: %d protections active", report.hook, active)
        for status in weaker:
            _logger.warning("%s: %s is %s: %s", report.hook, status.protection.value, status.state.value, status.reason)


@contextlib.contextmanager
def swapped(policies: Policies, answers: Answers | None = None) -> Iterator[list[HookReport]]:
    """Run every hook that fromager calls in a sandbox, and yield the list of reports.

    It changes the whole process until the end of the context.

    :param policies: a function that returns the policy for a package, given its name
    :param answers: recorded answers of hooks, or the object that records them
    :raises FromagerError: fromager is not installed, or lacks a function that has to be wrapped
    :raises PolicyError: ``FROMAGER_SCRUB_ENV_VARS`` is not a list of names
    """
    dependencies, environments, commands = (_module(name) for name in _MODULES)
    environment = _part(environments, "BuildEnvironment")
    runner = _Runner(_policy_for(policies, ""))
    runner.reports, runner.answers = _Reports(), answers
    queries = {name: _marked_as_query(_part(environment, name)) for name in _QUERIES}
    with Restoring() as changes:
        # Some of fromager's commands build nothing.
        changes.enter_context(swap("pyproject_hooks", runner=runner, unused_ok=True))
        for owner, name, new in (
            (dependencies, _FACTORY, _factory(_part(dependencies, _FACTORY), policies)),
            (commands, _WRAPPER, _wrapper(_part(commands, _WRAPPER))),
            (dependencies, _READER, _reader(_part(dependencies, _READER))),
            (environment, "run", _environment_run(_part(environment, "run"), policies)),
            *((environment, name, query) for name, query in queries.items()),
        ):
            changes.attribute(owner, name, new)
        # fromager writes PKG-INFO and other files into source trees, also after hooks have run there.
        changes.enter_context(watching(_refused))
        yield runner.reports


def _refused(text: str) -> UntrustedResultError:
    return UntrustedResultError(text)


_MODULES = ("dependencies", "build_environment", "external_commands")
_FACTORY = "get_build_backend_hook_caller"
_WRAPPER = "network_isolation_cmd"
_READER = "get_pyproject_contents"


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"fromager.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "fromager":
            raise
        raise FromagerError(
            f"there is no {error.name} for {sys.executable}. Remedy: install fromager 0.101 or newer there, "
            "beside isolated-hooks (it needs Python 3.12 or newer)"
        ) from error


def _part(owner: Any, name: str) -> Any:
    part = getattr(owner, name, None)
    if not callable(part):
        raise FromagerError(
            f"this fromager has no {getattr(owner, '__name__', owner)}.{name}, which isolated-hooks needs to run its "
            "hooks in a sandbox. Remedy: use fromager 0.101, or a newer isolated-hooks"
        )
    return part


def _policy_for(policies: Policies, name: str) -> Policy:
    return scrubbing(policies(name), os.environ)


class _Runner(IsolatedRunner):
    """Uses the policy of the current build.

    If an override plug-in of the user's constructs a hook caller itself, it uses the policy for no particular package.
    """

    def wrapping(self, inner: SubprocessRunner) -> IsolatedRunner:
        """Return a runner around fromager's own."""
        runner = super().wrapping(inner)
        if runner is not inner:
            runner.policy = _policy.get() or self.policy
            runner.inner = _without_wrapper(inner, network=runner.policy.whole_network)
        return runner


def _factory(original: Callable[..., Any], policies: Policies) -> Callable[..., Any]:
    """Wrap fromager's function that constructs a hook caller, because its arguments name the package."""

    @functools.wraps(original)
    def get_build_backend_hook_caller(**arguments: Any) -> Any:
        environment = arguments["build_env"]
        policy = policy_of_build(
            _policy_for(policies, arguments["req"].name),
            arguments["ctx"],
            injected=(*arguments["override_environ"], *environment.get_venv_environ()),
            build_dir=os.fspath(arguments["build_dir"]),
            sdist_root_dir=os.fspath(environment.sdist_root_dir),
        )
        with _variable_set(_policy, policy):
            return original(**arguments)

    return get_build_backend_hook_caller


def _without_wrapper(inner: SubprocessRunner, *, network: bool) -> SubprocessRunner:
    """Wrap fromager's runner, and turn fromager's network wrapper off for commands that isolate the network anyway."""

    def run(cmd: Sequence[str], cwd: str | None = None, extra_environ: Any = None) -> None:
        # A hook that the policy exempts from the sandbox arrives as a plain hook call.
        plain = len(cmd) == 4 and cmd[2] in HOOKS
        with _variable_set(_network_is_ours, not plain and not network):
            inner(cmd, cwd=cwd, extra_environ=extra_environ)

    return run


def _wrapper(original: Callable[[], Sequence[str]]) -> Callable[[], Sequence[str]]:
    @functools.wraps(original)
    def network_isolation_cmd() -> Sequence[str]:
        return () if _network_is_ours.get() else original()

    return network_isolation_cmd


def _reader(original: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """Wrap fromager's function that reads pyproject.toml, which it does again after hooks."""

    @functools.wraps(original)
    def get_pyproject_contents(sdist_root_dir: Any) -> dict[str, Any]:
        directory = absolute(sdist_root_dir)
        try:
            return parse_toml(
                read_file(os.path.join(directory, "pyproject.toml"), Trees((directory,)), limit=MAX_PYPROJECT)
            )
        except FileNotFoundError:
            return {}

    return get_pyproject_contents


def _marked_as_query(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def ask(*arguments: Any, **options: Any) -> Any:
        with _variable_set(_in_query, True):
            return original(*arguments, **options)

    return ask


def _environment_run(original: Callable[..., str], policies: Policies) -> Callable[..., str]:
    """Wrap the method by which fromager runs a command in a build environment: a query runs in a sandbox."""

    @functools.wraps(original)
    def run(self: Any, cmd: Sequence[str], **options: Any) -> str:
        if not _in_query.get():
            return original(self, cmd, **options)
        tree, answers = os.fspath(self.sdist_root_dir), []

        def start(command: list[str]) -> None:
            with _variable_set(_network_is_ours, True):
                answers.append(original(self, command, cwd=tree))

        policy = policy_of_query(_policy_for(policies, self.req.name))
        run_command(list(cmd), tree, policy, start, stdin="null", extra_environ=self.get_venv_environ())
        return answers[0]

    return run


@contextlib.contextmanager
def _variable_set(variable: ContextVar[Any], value: object) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def work_directory(arguments: Sequence[str]) -> str:
    """Return the directory in which fromager makes all source trees."""
    chosen = {"--output-dir": ".", "--work-dir": ""}
    for option, value in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, after = option.partition("=")
        name = {"-O": "--output-dir", "-t": "--work-dir"}.get(name, name)
        if name in chosen:
            chosen[name] = after if equals else value
    return absolute(chosen["--work-dir"] or os.path.join(chosen["--output-dir"], "work-dir"))


def run(
    arguments: Sequence[str], policies: Policies, *, prog: str, answers: Answers | None = None
) -> tuple[int, list[HookReport]]:
    """Run fromager's command line and return its exit code and a report for each hook.

    Neither this process nor any program that it starts searches the work directory, which holds all source trees.

    :param answers: as for :func:`swapped`
    :raises FromagerError: fromager is not installed for this interpreter
    :raises IsolatedHooksError: an error of this package stopped fromager
    """
    _module("dependencies")
    main = _part(_module("__main__"), "invoke_main")
    with swapped(policies, answers) as reports, Restoring() as changes, Guarded(_policy_for(policies, "")) as guard:
        guard.add(work_directory(arguments))
        changes.attribute(sys, "argv", [prog, *arguments])  # fromager's main takes no arguments
        try:
            main()
        except SystemExit as end:
            problem = own_error(end) if end.code else None
            if problem is not None:
                raise problem from None
            return end.code if isinstance(end.code, int) else int(end.code is not None), reports
    return 0, reports
