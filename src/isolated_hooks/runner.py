"""The one way that every hook call takes: plan it, try the host, launch it, vet what it left, report."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import pyproject_hooks

from . import host
from .artefacts import Artefact, export_fallback, export_file, export_metadata
from .deepcheck import check_artefact, check_metadata
from .errors import (
    HookKilledError,
    HookProcessError,
    HookTimeoutError,
    IsolationDegradedWarning,
    PolicyError,
    SandboxSetupError,
    SandboxUnavailableError,
)
from .filesystem import RealFilesystem
from .hookcall import HookCall
from .launchers import find_launcher
from .limits import UNIT
from .loader import absolute_libraries
from .outputs import OutputDirectory
from .ownership import survey
from .plan import Identity, Layout, Plan, Situation
from .planner import plan_command, plan_hook
from .policy import Policy
from .projects import Expected, check_result, check_unchanged, expected_of
from .protections import ProtectionState, ProtectionStatus
from .report import HookReport, unprotected, with_degradations
from .results import Output, read_output, write_output
from .text import visible
from .view import refuse_reserved
from .workspace import Workspace, sweep, take_back, workspace_parent

__all__ = ["IsolatedRunner", "SubprocessRunner", "run_command"]


class SubprocessRunner(Protocol):
    """What pyproject_hooks calls a subprocess runner: runs a command, raises where it fails."""

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None: ...


class IsolatedRunner:
    """A subprocess runner that puts every hook call into a sandbox, and has another runner start it.

    :param policy: what the hook may do; the default policy where it is left out
    :param inner: the frontend's own runner, so that its logging, capturing and environment stay;
        :func:`pyproject_hooks.default_subprocess_runner` where it is left out
    :ivar reports: a :class:`HookReport` for each call, in the order in which they ended
    :raises PolicyError: ``policy`` is something else
    """

    def __init__(self, policy: Policy | None = None, inner: SubprocessRunner | None = None) -> None:
        if not isinstance(policy, (Policy, type(None))):
            raise PolicyError(f"policy: a {type(policy).__name__} was given; accepted is an isolated_hooks.Policy")
        self.policy = Policy() if policy is None else policy
        self.inner: SubprocessRunner = pyproject_hooks.default_subprocess_runner if inner is None else inner
        self.reports: list[HookReport] = []

    def wrapping(self, inner: SubprocessRunner) -> IsolatedRunner:
        """Return a runner with the same policy and reports around another runner."""
        if isinstance(inner, IsolatedRunner):
            return inner
        other = copy.copy(self)
        other.inner = inner
        return other

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        """Run one hook call in a sandbox.

        :param cmd: what pyproject_hooks asks for: interpreter, script, hook, control directory
        :param cwd: the source tree
        :param extra_environ: variables for the hook, over the inherited ones
        :raises PolicyError: not a hook call, or one that does not fit the policy
        :raises SandboxUnavailableError: this host cannot do what the policy requires; nothing was run
        :raises SandboxSetupError: setting up failed; the hook was not run
        :raises HookProcessError: the hook failed or ran into a limit, and the inner runner did not raise by itself
        :raises UntrustedResultError: what the hook left breaks a rule; nothing of it was used
        """
        call = HookCall.parse(cmd, cwd)
        if call.hook not in self.policy.hooks:
            self.inner(cmd, cwd=cwd, extra_environ=extra_environ)
            self.reports.append(HookReport(call.hook, call.source_dir, unprotected(), returncode=0))
            return
        _HookRun(call, self.policy, self.inner, dict(extra_environ or {}), self.reports.append).run()


class _Run:
    """What every call has in common, whether of a hook or of another command."""

    def __init__(self, name: str, source: str, policy: Policy, done: Callable[[HookReport], None]) -> None:
        self.name = name
        self.source = source
        self.policy = policy
        self.launcher = find_launcher(policy.launcher)
        self.done = done
        self.status: dict[str, Any] = {}
        self.artefacts: tuple[Artefact, ...] = ()

    def make_plan(self, situation: Situation, layout: Layout) -> Plan:
        raise NotImplementedError

    def start(self, command: list[str]) -> None:
        raise NotImplementedError

    def prepare(self, workspace: Workspace, plan: Plan) -> None:
        """Put into the workspace what the command is to find."""

    def collect(self, workspace: Workspace) -> None:
        """Take what the command left, after every process of the sandbox is dead."""

    def run(self) -> None:
        """Do it all, and report it."""
        host.check_platform()
        refuse_reserved(self.source, "the source tree", filesystem=RealFilesystem())
        avoid = (self.source, *self.policy.writable)
        _sweep_once(workspace_parent(avoid))
        began = time.monotonic()
        plan, error = None, ""
        refused: frozenset[Identity] = frozenset()
        try:
            while plan is None or plan.identity in refused:
                with Workspace(avoid) as workspace:
                    plan = self.trial(workspace, refused)
                    self.prepare(workspace, plan)
                    if self._launch(workspace, plan):
                        self.collect(workspace)
                    else:
                        refused |= {plan.identity}
        except BaseException as problem:
            error = visible(str(problem) or type(problem).__name__, limit=2000)
            raise
        finally:
            if plan is not None:
                self._report(plan, error, time.monotonic() - began)

    def _report(self, plan: Plan, error: str, seconds: float) -> None:
        dropped = tuple(os.fsdecode(name) for name in self.status.get("dropped", ()))
        protections = with_degradations(self.launcher.protections(plan), self.status.get("degraded", {}))
        for status in protections:
            if status.state is ProtectionState.DEGRADED:
                text = f"{status.protection.value} is degraded: {status.reason}"
                warnings.warn(text, IsolationDegradedWarning, stacklevel=2)
        self.done(
            HookReport(
                hook=self.name,
                source_dir=self.source,
                protections=protections,
                returncode=self.status.get("code"),
                dropped=dropped or plan.environ.dropped,
                artefacts=self.artefacts,
                error=error,
                seconds=seconds,
                launcher=self.launcher.name,
            )
        )

    def trial(self, workspace: Workspace, refused: frozenset[Identity] = frozenset()) -> Plan:
        """Return the plan that works on this host, tried without its command.

        :param refused: identities that the inner runner's own wrapper does not allow
        """
        mapped = (self.source, *self.policy.writable, workspace.path)
        situation = situation_of(self.source, self.policy)
        refused |= situation.refused | host.refused_identities(mapped, self.launcher.name)
        while True:
            plan = self.make_plan(dataclasses.replace(situation, refused=refused), workspace.layout)
            if plan.identity is Identity.SEPARATE and self._missing(plan):
                # Its one capability may be what the policy does not allow; the caller's own user holds none.
                refused |= {plan.identity}
                continue
            self._check(plan)
            workspace.write_plan(plan)
            if host.require_sandbox(plan, workspace, mapped, self.launcher):
                return plan
            refused |= {plan.identity}

    def _check(self, plan: Plan) -> None:
        """Raise SandboxUnavailableError where the plan, under this launcher, is less than what the policy requires."""
        if plan.identity not in self.launcher.identities:
            raise SandboxUnavailableError(
                [f"the launcher {self.launcher.name} has no way to a user of the hook's own that this host allows"],
                "use the launcher native",
            )
        missing = self._missing(plan)
        if missing and plan.identity is Identity.CONFINED:
            raise host.namespaces_refused(missing)
        if missing:
            raise SandboxUnavailableError([_sentence(s) for s in missing], "; ".join(s.remedy for s in missing))

    def _missing(self, plan: Plan) -> list[ProtectionStatus]:
        return [s for s in self.launcher.protections(plan) if not plan.policy.permits(s.protection, s.state)]

    def _launch(self, workspace: Workspace, plan: Plan) -> bool:
        """Run the command, and return whether it was run: where its identity is refused, another one is to be tried."""
        command = self.launcher.command(plan, workspace.path, plan.argv)
        try:
            try:
                self.start(command)
            finally:
                self.status = workspace.status()
                take_back(self.status, (plan.source, *self.policy.writable))
        except BaseException as problem:
            if isinstance(problem, subprocess.CalledProcessError) and host.refuses_wrapped(self.status, plan):
                return False
            failure = self._failure(problem)
            if failure is None:
                raise
            raise failure from problem
        if host.refuses_wrapped(self.status, plan):
            return False
        failure = self._failure(None)
        if failure is not None:
            raise failure
        return True

    def _failure(self, problem: BaseException | None) -> Exception | None:
        """Return what is to be raised, or ``None`` where nothing went wrong or the inner runner's error says it all."""
        state, code, limit = (self.status.get(name) for name in ("state", "code", "limit"))
        command = (self.name,)
        if state == "failed":
            return host.refusal(self.status)
        if state is None:
            if "pid" in self.status:
                # A set-up that fails says so: the launcher was killed after it had started pid 1, and that with it.
                self.status["code"] = -9
                return HookProcessError(-9, list(command)) if problem is None else None
            started = problem is None or isinstance(problem, subprocess.CalledProcessError)
            reason = "it ended without a word"
            return SandboxSetupError("starting the launcher", reason=reason) if started else None
        if limit == "watcher":
            return SandboxSetupError("watching the limits", reason="the watching process has ended; so was the hook")
        if limit:
            value = getattr(self.policy.limits, limit)
            if UNIT[limit] == "seconds":
                return HookTimeoutError(int(code or 0), command, limit=limit, seconds=value)
            return HookKilledError(int(code or 0), command, limit=limit, value=value)
        if code == -24 and self.policy.limits.cpu_time is not None:  # SIGXCPU
            return HookTimeoutError(code, command, limit="cpu_time", seconds=self.policy.limits.cpu_time)
        if code == -25 and self.policy.limits.file_size is not None:  # SIGXFSZ
            return HookKilledError(code, command, limit="file_size", value=self.policy.limits.file_size)
        if problem is None and (state != "exited" or code != 0):
            return HookProcessError(int(code or 1), list(command))
        return None


class _HookRun(_Run):
    """One hook call."""

    def __init__(
        self,
        call: HookCall,
        policy: Policy,
        inner: SubprocessRunner,
        extra: Mapping[str, str],
        done: Callable[[HookReport], None],
    ) -> None:
        super().__init__(call.hook, call.source_dir, policy, done)
        self.call = call
        self.inner = inner
        self.extra = extra
        self.output: OutputDirectory | None = None
        self.expected = Expected()

    def run(self) -> None:
        if not self.policy.allow_other_names:
            # Before the hook, which may change what it is compared with.
            self.expected = expected_of(self.source, self.call.metadata_directory)
        with contextlib.ExitStack() as stack:
            if self.call.output_directory is not None:
                self.output = stack.enter_context(OutputDirectory(self.call.output_directory, self.source))
            super().run()

    def make_plan(self, situation: Situation, layout: Layout) -> Plan:
        return plan_hook(self.call, self.policy, situation, layout, self.extra)

    def prepare(self, workspace: Workspace, plan: Plan) -> None:
        path = os.path.join(workspace.layout.control, "input.json")
        kwargs = self.call.kwargs if plan.kwargs is None else plan.kwargs
        with open(path, "x", encoding="utf-8") as file:
            json.dump({"kwargs": dict(kwargs)}, file)

    def start(self, command: list[str]) -> None:
        # The launcher is started in the source tree, as every hook is, and must not load libraries from there.
        absolute = absolute_libraries({**os.environ, **self.extra})
        self.inner(command, cwd=self.source, extra_environ={**self.extra, **absolute})

    def collect(self, workspace: Workspace) -> None:
        allow_urls = self.policy.allow_url_requirements
        with workspace.directory(workspace.layout.control) as control:
            output = read_output(control, self.call.hook, allow_url_requirements=allow_urls)
        check_unchanged(self.expected, self.source)
        if self.output is not None and isinstance(output.returned, str):
            with workspace.directory(workspace.layout.staging) as staging:
                self.artefacts = tuple(self._export(staging, self.output.fd, output))
        write_output(self.call.control_dir, output)

    def _export(self, staging: int, destination: int, output: Output) -> Sequence[Artefact]:
        name, limit = str(output.returned), self.policy.limits.output_size
        check_result(self.call.hook, name, self.expected)
        check = functools.partial(check_artefact, limit=limit) if self.policy.deep_check else None
        if not self.call.hook.startswith("prepare_metadata"):
            return [export_file(staging, name, destination, limit=limit, check=check)]
        if self.policy.deep_check:
            check_metadata(staging, name)
        metadata = export_metadata(staging, name, destination, limit=limit)
        export_fallback(staging, destination, limit=limit, check=check)
        return [metadata]


class _CommandRun(_Run):
    """One run of any command."""

    def __init__(self, argv: Sequence[str], cwd: str, policy: Policy, done: Callable[[HookReport], None]) -> None:
        super().__init__(argv[0] if argv else "", cwd, policy, done)
        self.argv = argv
        self.stdin = "inherit"
        self.terminal = ""
        self.extra: Mapping[str, str] = {}
        self.python = ""
        self.starter: Callable[[list[str]], None] | None = None

    def make_plan(self, situation: Situation, layout: Layout) -> Plan:
        options: dict[str, Any] = {
            "stdin": self.stdin,
            "terminal": self.terminal,
            "python": self.python,
            "extra": self.extra,
        }
        return plan_command(self.argv, self.source, self.policy, situation, layout, **options)

    def start(self, command: list[str]) -> None:
        if self.starter is not None:
            self.starter(command)


def run_command(
    argv: Sequence[str],
    cwd: str,
    policy: Policy,
    start: Callable[[list[str]], None],
    *,
    stdin: str = "inherit",
    terminal: str = "",
    python: str = "",
    extra_environ: Mapping[str, str] = MappingProxyType({}),
) -> HookReport:
    """Run any command in a sandbox, with ``cwd`` as its source tree, and return the report.

    :param start: what runs the launcher's command to its end; it need not raise
    :param stdin: ``"inherit"`` or ``"null"``
    :param terminal: the device of the pseudo-terminal that ``start`` gives it as descriptor 0, if it does
    :param extra_environ: variables that ``start`` gives it, over the inherited ones
    :param python: an interpreter to show with all that it loads, if there is one to show
    :raises HookTimeoutError: it ran into a time limit
    :raises SandboxUnavailableError, SandboxSetupError, PolicyError: as :meth:`IsolatedRunner.__call__`
    """
    reports: list[HookReport] = []
    run = _CommandRun(argv, cwd, policy, reports.append)
    run.starter, run.stdin, run.terminal, run.python, run.extra = (
        start,
        stdin,
        terminal,
        python,
        extra_environ,
    )
    try:
        run.run()
    except (HookTimeoutError, HookKilledError):
        raise
    except HookProcessError:
        pass  # its exit code is in the report
    return reports[-1]


def situation_of(source: str, policy: Policy) -> Situation:
    """Return what a planner has to know of this host and this process, for a source tree."""
    owners, sockets = survey((source, *policy.writable))
    launcher = find_launcher(policy.launcher)
    return Situation(
        filesystem=RealFilesystem(),
        home=_home(),
        environ=dict(os.environ),
        started_with=host.started_with(),
        owners=owners if os.geteuid() == 0 else None,
        trusted=(sys.prefix, sys.base_prefix, os.path.dirname(os.path.abspath(__file__))),
        sockets=(*sockets, *host.bound_sockets()),
        refused=frozenset(Identity) - launcher.identities,
        inside=launcher.paths,
        root=host.is_kernel_root(),
        remedy=host.remedy(),
    )


def check_host(policy: Policy) -> tuple[ProtectionStatus, ...]:
    """Try the sandbox on an empty tree, so that a host that cannot do it is found before anything else is done.

    :return: the state of every protection there
    :raises SandboxUnavailableError: this host cannot do what the policy requires
    """
    host.check_platform()
    _sweep_once(workspace_parent(policy.writable))
    with (
        tempfile.TemporaryDirectory(prefix="isolated-hooks-check-") as source,
        Workspace((source, *policy.writable)) as workspace,
    ):
        run = _CommandRun((), source, policy, lambda _: None)
        run.stdin = "null"  # as hooks have it
        plan = run.trial(workspace)
        degraded = host.degradations(plan, (source, *policy.writable, workspace.path))
        return with_degradations(run.launcher.protections(plan), degraded)


@functools.lru_cache
def _sweep_once(parent: str) -> None:
    sweep(parent)


def _home() -> str:
    home = os.path.expanduser("~")
    if os.path.isabs(home):
        return os.path.normpath(home)
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/nonexistent"


def _sentence(status: ProtectionStatus) -> str:
    return f"{status.protection.value} is {status.state.value}: {status.reason}"
