"""The runner: the one way that every hook call takes, and what a hook left, taken when all of it is dead."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import pyproject_hooks

from .artefacts import Artefact, export_fallback, export_file, export_metadata
from .deepcheck import check_artefact, check_members, check_metadata
from .errors import PolicyError
from .hookcall import HookCall
from .loader import absolute_libraries
from .outputs import OutputDirectory
from .plan import Layout, Plan, Situation
from .planner import plan_hook
from .policy import Policy
from .projects import Expected, check_result, check_unchanged, expected_of
from .report import HookReport, unprotected
from .results import Output, read_output, write_output
from .run import Run
from .workspace import Workspace

__all__ = ["IsolatedRunner", "SubprocessRunner"]


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
    :ivar unpacked: hooks whose sdist the frontend unpacks, outside of any sandbox: its members are looked at first,
        whatever the policy says of a deep check
    :raises PolicyError: ``policy`` is something else
    """

    def __init__(self, policy: Policy | None = None, inner: SubprocessRunner | None = None) -> None:
        if not isinstance(policy, (Policy, type(None))):
            raise PolicyError(f"policy: a {type(policy).__name__} was given; accepted is an isolated_hooks.Policy")
        self.policy = Policy() if policy is None else policy
        self.inner: SubprocessRunner = pyproject_hooks.default_subprocess_runner if inner is None else inner
        self.reports: list[HookReport] = []
        self.unpacked: Collection[str] = ()

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
        run = _HookRun(call, self.policy, self.inner, dict(extra_environ or {}), self.reports.append)
        run.unpacked = call.hook in self.unpacked
        run.run()


class _HookRun(Run):
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
        self.unpacked = False

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

    def after_failure(self) -> None:
        check_unchanged(self.expected, self.source)

    def collect(self, workspace: Workspace) -> None:
        allow_urls = self.policy.allow_url_requirements
        check_unchanged(self.expected, self.source)
        with workspace.directory(workspace.layout.control) as control:
            output = read_output(control, self.call.hook, allow_url_requirements=allow_urls)
        if self.output is not None and isinstance(output.returned, str):
            with workspace.directory(workspace.layout.staging) as staging:
                self.artefacts = tuple(self._export(staging, self.output.fd, output))
        write_output(self.call.control_dir, output)

    def _export(self, staging: int, destination: int, output: Output) -> Sequence[Artefact]:
        name, limit = str(output.returned), self.policy.limits.output_size
        check_result(self.call.hook, name, self.expected)
        check = None
        if self.policy.deep_check or self.unpacked:
            check = functools.partial(check_artefact if self.policy.deep_check else check_members, limit=limit)
        if not self.call.hook.startswith("prepare_metadata"):
            return [export_file(staging, name, destination, limit=limit, check=check)]
        if self.policy.deep_check:
            check_metadata(staging, name)
        metadata = export_metadata(staging, name, destination, limit=limit)
        export_fallback(staging, destination, metadata=name, limit=limit, check=check)
        return [metadata]
