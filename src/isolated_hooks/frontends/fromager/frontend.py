"""fromager, with its hook caller swapped: every hook of every package that it builds is run in a sandbox.

fromager looks ``pyproject_hooks.BuildBackendHookCaller`` up at each use, in its ``get_build_backend_hook_caller``. That
function is wrapped too, because it is told what is being built: for the package's own policy, and for fromager's
settings. Downloads, ``uv pip install``, the wheel server and whatever else fromager runs stay as they are, with these
two exceptions:

- Where fromager isolates the network, a hook is not started by its wrapper, ``unshare --uts --net --map-root-user``:
  one uid is mapped in there, so root's hooks could not get a throw-away one. The sandbox has a network namespace of its
  own. Everything else that fromager isolates keeps its wrapper, and fromager's runner keeps recognising hooks that
  want the network.
- fromager asks each build environment what is installed there, by its Python, which runs the ``.pth`` files of the
  build requirements. That is asked in a sandbox.
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
from types import ModuleType
from typing import Any

from ...errors import PolicyError
from ...hookcall import SubprocessRunner
from ...policy import HOOKS, Policy
from ...protections import ProtectionState
from ...report import HookReport
from ...run.command import run_command
from ...runner import IsolatedRunner
from ...swapping import swap
from ..build import own_error
from ..restore import Restoring
from .policies import Policies, policy_of_build, policy_of_query, scrubbing

__all__ = ["FromagerError", "run", "swapped"]

_logger = logging.getLogger(__name__)
# Threads, fromager's parallel builds, have a context each.
_policy: ContextVar[Policy | None] = ContextVar("isolated_hooks_policy", default=None)
_network_is_ours: ContextVar[bool] = ContextVar("isolated_hooks_network", default=False)
_asking: ContextVar[bool] = ContextVar("isolated_hooks_asking", default=False)
_QUERIES = ("get_distributions", "get_sysconfig_path")


class FromagerError(PolicyError):
    """There is no fromager to be run, or none whose hooks can be run in a sandbox."""


class _Reports(list[HookReport]):
    """The reports of all hooks; each is logged too, so it stands in fromager's own logs, under the package's name."""

    def append(self, report: HookReport) -> None:
        super().append(report)
        weaker = [s for s in report.protections if s.state is not ProtectionState.ACTIVE]
        active = len(report.protections) - len(weaker)
        _logger.info("%s ran in a sandbox: %d protections active", report.hook, active)
        for status in weaker:
            _logger.warning("%s: %s is %s: %s", report.hook, status.protection.value, status.state.value, status.reason)


@contextlib.contextmanager
def swapped(policies: Policies) -> Iterator[list[HookReport]]:
    """Have every hook that fromager calls run in a sandbox, and give the reports.

    The change is of the whole process, and ends with the context.

    :param policies: the policy for each package, by name
    :raises FromagerError: there is no fromager here, or one that is built in another way
    :raises PolicyError: ``FROMAGER_SCRUB_ENV_VARS`` is not a list of names
    """
    dependencies, environments, commands = (_module(name) for name in _MODULES)
    environment = _part(environments, "BuildEnvironment")
    runner = _Runner(_policy_for(policies, ""))
    runner.reports = _Reports()
    queries = {name: _question(_part(environment, name)) for name in _QUERIES}
    with Restoring() as changes:
        # Not every command of fromager's builds something.
        changes.enter_context(swap("pyproject_hooks", runner=runner, unused_ok=True))
        for owner, name, new in (
            (dependencies, _FACTORY, _factory(_part(dependencies, _FACTORY), policies)),
            (commands, _WRAPPER, _wrapper(_part(commands, _WRAPPER))),
            (environment, "run", _environment_run(_part(environment, "run"), policies)),
            *((environment, name, query) for name, query in queries.items()),
        ):
            changes.attribute(owner, name, new)
        yield runner.reports


_MODULES = ("dependencies", "build_environment", "external_commands")
_FACTORY = "get_build_backend_hook_caller"
_WRAPPER = "network_isolation_cmd"


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"fromager.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "fromager":
            raise
        raise FromagerError(
            f"there is no {error.name} for {sys.executable}: install fromager 0.101 or newer there, "
            "beside isolated-hooks (it needs Python 3.12 or newer)"
        ) from error


def _part(owner: Any, name: str) -> Any:
    part = getattr(owner, name, None)
    if not callable(part):
        raise FromagerError(
            f"this fromager has no {getattr(owner, '__name__', owner)}.{name}, by which its hooks are brought into a "
            "sandbox: use fromager 0.101, or a newer isolated-hooks"
        )
    return part


def _policy_for(policies: Policies, name: str) -> Policy:
    return scrubbing(policies(name), os.environ)


class _Runner(IsolatedRunner):
    """Has the policy of what is being built; that for no package where an override of the user's own makes a caller."""

    def wrapping(self, inner: SubprocessRunner) -> IsolatedRunner:
        """Return a runner around fromager's own."""
        other = super().wrapping(inner)
        if other is not inner:
            other.policy = _policy.get() or self.policy
            other.inner = _without_wrapper(inner, network=other.policy.network)
        return other


def _factory(original: Callable[..., Any], policies: Policies) -> Callable[..., Any]:
    """Return fromager's function that constructs a hook caller, which is told what is being built."""

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
        with _having(_policy, policy):
            return original(**arguments)

    return get_build_backend_hook_caller


def _without_wrapper(inner: SubprocessRunner, *, network: bool) -> SubprocessRunner:
    """Return fromager's runner, told that the command isolates the network by itself, if it does."""

    def run(cmd: Sequence[str], cwd: str | None = None, extra_environ: Any = None) -> None:
        # A hook that the policy leaves out of the sandbox comes as it is.
        plain = len(cmd) == 4 and cmd[2] in HOOKS
        with _having(_network_is_ours, not plain and not network):
            inner(cmd, cwd=cwd, extra_environ=extra_environ)

    return run


def _wrapper(original: Callable[[], Sequence[str]]) -> Callable[[], Sequence[str]]:
    @functools.wraps(original)
    def network_isolation_cmd() -> Sequence[str]:
        return () if _network_is_ours.get() else original()

    return network_isolation_cmd


def _question(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def ask(*arguments: Any, **options: Any) -> Any:
        with _having(_asking, True):
            return original(*arguments, **options)

    return ask


def _environment_run(original: Callable[..., str], policies: Policies) -> Callable[..., str]:
    """Return the method by which fromager runs a command in a build environment."""

    @functools.wraps(original)
    def run(self: Any, cmd: Sequence[str], **options: Any) -> str:
        if not _asking.get():
            return original(self, cmd, **options)
        tree, answers = os.fspath(self.sdist_root_dir), []

        def start(command: list[str]) -> None:
            with _having(_network_is_ours, True):
                answers.append(original(self, command, cwd=tree))

        policy = policy_of_query(_policy_for(policies, self.req.name))
        run_command(list(cmd), tree, policy, start, stdin="null", extra_environ=self.get_venv_environ())
        return answers[0]

    return run


@contextlib.contextmanager
def _having(variable: ContextVar[Any], value: object) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def run(arguments: Sequence[str], policies: Policies, *, prog: str) -> tuple[int, list[HookReport]]:
    """Run fromager's command line and return its exit code and a report for each hook.

    :raises FromagerError: there is no fromager in this interpreter
    :raises IsolatedHooksError: what stopped fromager was of this package
    """
    _module("dependencies")
    main = _part(_module("__main__"), "invoke_main")
    with swapped(policies) as reports, Restoring() as changes:
        changes.attribute(sys, "argv", [prog, *arguments])  # fromager's main takes no others
        try:
            main()
        except SystemExit as end:
            problem = own_error(end) if end.code else None
            if problem is not None:
                raise problem from None
            return end.code if isinstance(end.code, int) else int(end.code is not None), reports
    return 0, reports
