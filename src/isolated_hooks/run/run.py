"""The steps of every call: plan it, try the plan on this host, launch it, report."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import (
    IsolatedHooksError,
    IsolationDegradedWarning,
)
from ..files.paths import RealFilesystem
from ..files.repositories import outgrown, set_aside
from ..files.steered import record_trees
from ..launchers import find_launcher
from ..network.proxy import Proxy
from ..plan import Identity, Layout, Plan, Situation
from ..plan.enclosing import NONE
from ..plan.holds import with_degradations
from ..plan.identities import choose_identity
from ..plan.planner import plan_trial
from ..plan.view import refuse_reserved
from ..policy import Policy
from ..policy.file import refuse_written_policies
from ..protections import ProtectionState
from ..report import Connection, HookReport
from ..results.artefacts import Artefact
from ..results.details import Details
from ..text import visible
from . import preloaded, trial  # noqa: F401 - preloaded: a call imports nothing
from .checks import check_owners, check_plan, missing, refuse_register
from .discard import DiscardedTree, DiscardedTrees
from .explaining import explained, limit_of, output_of
from .failures import KILLED, failure_of, is_cut_short
from .leftovers import sweep_if_due, take_back
from .observed import Observed
from .platform_check import check_platform
from .situation import repository_of, situation_of, written_trees
from .workspace import Workspace

__all__ = ["Run"]


class Run:
    """One call, of a hook or of another command. A subclass says what to plan, to start and to collect."""

    def __init__(self, name: str, source: str, policy: Policy, done: Callable[[HookReport], None]) -> None:
        self.name = name
        self.source = source
        self.policy = policy
        self.launcher = find_launcher(policy.launcher)
        self.done = done
        self.status: dict[str, Any] = {}
        self.artefacts: tuple[Artefact, ...] = ()
        self.set_aside: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.connections: tuple[Connection, ...] = ()
        self.sets_aside = True
        self.detailed = False
        self.observes = False
        self.details: Details | None = None
        self.discards: DiscardedTrees | None = None
        self.discarded: DiscardedTree | None = None
        self.said: str | None = None  # the end of the output of a command that failed, if we have seen it
        self.limit: tuple[str, Any] | None = None  # the limit that it met, and its value
        self.repository = NONE
        self.mapped: tuple[str, ...] = ()
        self.may_fail = False  # nobody sees a launch that fails, so the first one can take the place of a trial
        self.untried = False  # this launch does
        self.may_be_warm = False  # under this policy, launcher and identity
        self.warm = False  # and it was

    def make_plan(self, situation: Situation, layout: Layout) -> Plan:
        raise NotImplementedError

    def start(self, command: list[str]) -> None:
        raise NotImplementedError

    def outputs(self) -> tuple[str, ...]:
        """Return the caller's directories, besides the trees, in which the workspace must not be."""
        return ()

    def prepare(self, workspace: Workspace, plan: Plan) -> None:
        """Put the files that the command reads into the workspace."""

    def collect(self, workspace: Workspace) -> None:
        """Take the results of the command, after every process of the sandbox is dead."""

    def after_failure(self) -> None:
        """Check the source tree after a command that failed, when every process of the sandbox is dead."""

    def seen(self, problem: BaseException) -> str | None:
        """Return the end of the output of the command that failed, or ``None`` if this process has not seen it."""
        return output_of(problem)

    def execute(self) -> None:
        """Carry out all steps, and report the call even if one of them fails."""
        check_platform()
        refuse_reserved(self.source, "the source tree", filesystem=RealFilesystem())
        trees = (self.source, *self.policy.writable)
        refuse_register(trees)
        refuse_written_policies(written_trees(self.source, self.policy))
        with contextlib.ExitStack() as stack:
            if self.policy.source == "discard":
                stack.enter_context(self._discarding())
            self._execute(trees)

    @contextlib.contextmanager
    def _discarding(self) -> Iterator[None]:
        """Have a view of the source tree for the call, and afterwards remove it if no caller keeps it."""
        views = DiscardedTrees() if self.discards is None else self.discards
        try:
            overlay = getattr(self.launcher, "overlays", False)
            with views.of(self.source, self.policy.writable, overlay=overlay).in_use() as self.discarded:
                yield
        finally:
            if self.discards is None:
                views.close()

    def _execute(self, trees: tuple[str, ...]) -> None:
        record_trees(trees)
        sweep_if_due()
        began = time.monotonic()
        plan, failure = None, None
        refused: frozenset[Identity] = frozenset()
        self.repository = repository_of(self.source, self.policy)
        hidden_from = (self.source, *self.policy.writable, *self.outputs(), *self.repository.shown)
        try:
            is_done = False
            while not is_done:
                with Workspace(hidden_from) as workspace, trial.beginning(self.policy, self.launcher, workspace):
                    plan = self.tried_plan(workspace, refused)
                    self.prepare(workspace, plan)
                    is_done = self._run_to_end(workspace, plan)
                    if is_done:
                        self.collect(workspace)
                    elif self.untried:
                        self.may_fail = False  # a trial tells whether the host refuses the identity, or the tree does
                    else:
                        refused |= {plan.identity}
        except BaseException as problem:
            failure = problem
            raise
        finally:
            if plan is not None:
                self._report(plan, failure, time.monotonic() - began)
            sweep_if_due()

    def _report(self, plan: Plan, failure: BaseException | None, seconds: float) -> None:
        dropped = tuple(os.fsdecode(name) for name in self.status.get("dropped", ()))
        protections = with_degradations(self.launcher.protections(plan), self.status.get("degraded", {}))
        for status in protections:
            if status.state is ProtectionState.DEGRADED:
                text = f"{status.protection.value} is degraded: {status.reason}"
                warnings.warn(text, IsolationDegradedWarning, stacklevel=2)
        for path in self.set_aside:
            text = f"a repository of git that {self.name or 'the command'} left at {visible(path)!r} was renamed"
            warnings.warn(text, stacklevel=2)
        explanation = explained(
            plan,
            self.status,
            name=self.name,
            output=self.said,
            limit=self.limit,
            failed=failure is not None,
            dropped=dropped or plan.environ.dropped,
            connections=self.connections,
        )
        if isinstance(failure, IsolatedHooksError):
            failure.explanation = explanation.text
        error = "" if failure is None else visible(str(failure) or type(failure).__name__, limit=2000)
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
                set_aside=self.set_aside,
                notes=plan.notes + self.notes + explanation.notes,
                details=self.details,
                connections=self.connections,
                hints=explanation.hints,
                explanation=explanation.text,
                denied=explanation.denied,
                warm=self.warm,
            )
        )

    def tried_plan(self, workspace: Workspace, refused: frozenset[Identity] = frozenset()) -> Plan:
        """Return the plan that works on this host, tried without its command.

        :param refused: identities that a wrapper in the inner runner does not allow
        """
        mapped = self.mapped = (self.source, *self.policy.writable, workspace.path)
        situation = situation_of(self.source, self.policy)
        refused |= situation.refused | trial.refused_identities(mapped, self.launcher.name)
        while True:
            situation = dataclasses.replace(
                situation, refused=refused, workspaces=workspace.others, repository=self.repository
            )
            situation = self._with_discarded(situation)
            plan = self.make_plan(situation, workspace.layout)
            if plan.confined and plan.capabilities and missing(plan, self.launcher):
                # The policy may not allow its one capability; the caller's own user holds none.
                refused |= {plan.identity}
                continue
            check_plan(plan, self.launcher, observes=self.observes)
            now = dataclasses.replace(situation, refused=refused)
            bare = functools.partial(plan_trial, self.policy, now, workspace.layout, trees=mapped[:-1])
            self.untried = self._replaces_trial(plan, mapped)
            if self.untried or trial.require_sandbox(plan, bare, workspace, mapped, self.launcher):
                if not self._overlays(plan, now, workspace):
                    continue
                check_owners(plan, situation)
                plan = dataclasses.replace(plan, detailed=self.detailed, observed=self.observes)
                workspace.write_plan(plan)
                return plan
            refused |= {plan.identity}

    def _replaces_trial(self, plan: Plan, paths: tuple[str, ...]) -> bool:
        """Return whether the launch of a plan tells whether this host allows its identity, as a trial would.

        If it fails, the trial decides: a hook may have made it fail by what it has left in the tree.
        """
        may_fail = self.may_fail and self.discarded is None and trial.may_be_warm(plan, self.launcher)
        return may_fail and not trial.is_tried(plan, paths)

    def _with_discarded(self, situation: Situation) -> Situation:
        """Add what takes the place of the source tree, as far as the identity allows it."""
        if self.discarded is None:
            return situation
        identity, _ = choose_identity(situation.owners, situation.refused)
        if identity.confined or identity.traits.unmapped:
            self.discarded.copy()
        return dataclasses.replace(situation, discarded=self.discarded.now)

    def _overlays(self, plan: Plan, situation: Situation, workspace: Workspace) -> bool:
        """Return ``False`` if the plan has an overlay that this host refuses; then there is a copy for the next."""
        if self.discarded is None:
            return True
        if self.discarded.now.overlay:
            self.discarded.renew()
            paths = (plan.source, self.discarded.path)
            over = (plan.source, self.discarded.now)
            bare = plan_trial(self.policy, situation, workspace.layout, trees=paths, overlay=over)
            if not trial.overlays(plan, bare, workspace, paths, self.launcher):
                self.discarded.copy()
                return False
            self.discarded.renew()
        return True

    def _run_to_end(self, workspace: Workspace, plan: Plan) -> bool:
        try:
            return self._launch(workspace, plan)
        except Exception:
            self.after_failure()
            raise

    def _launch(self, workspace: Workspace, plan: Plan) -> bool:
        """Run the command. Return ``False`` if the host refused its identity, so that the caller tries another one."""
        command = self.launcher.command(plan, workspace.path, plan.argv)
        self.may_be_warm = trial.may_be_warm(plan, self.launcher)
        observed = Observed(plan) if self.detailed else None
        try:
            try:
                self._start(command, workspace, plan)
            finally:
                self.status = workspace.status()
                if self.discarded is not None and self.status.get("running"):
                    self.discarded.used = True
                take_back(self.status, (plan.changed, *self.policy.writable))
                self._set_aside(plan)
                self.details = observed.details(self.status) if observed else None
        except BaseException as problem:
            if isinstance(problem, subprocess.CalledProcessError) and self._is_refused(plan):
                return False
            self.said = self.seen(problem)
            failure = self._failure(problem)
            if failure is None:
                raise
            raise failure from problem
        if self._is_refused(plan):
            return False
        failure = self._failure(None)
        if failure is not None:
            raise failure
        return True

    def _is_refused(self, plan: Plan) -> bool:
        """Return whether the host may have refused the launch of a plan, which has run nothing then."""
        if not self.untried:
            return trial.refuses_wrapped(self.status, plan)
        if not self.status.get("running"):
            return True
        trial.remember(plan, self.mapped, self.status)
        return False

    def _start(self, command: list[str], workspace: Workspace, plan: Plan) -> None:
        if not self.policy.hosts:
            self.start(command)
            return
        auths = self.policy.auths
        with Proxy(self.policy.hosts, workspace.path, os.environ, auths=auths, sees=plan.sees) as proxy:
            try:
                self.start(command)
            finally:
                self.connections += proxy.connections()

    def _set_aside(self, plan: Plan) -> None:
        """Rename the repositories of git that the hook has made: a later git command outside would obey them."""
        for before in plan.repositories if self.sets_aside else ():
            if before.tree != plan.source or self.policy.source == "read-write":
                self.set_aside += set_aside(before)
                if outgrown(before):
                    text = f"a hook has made more directories in {before.tree} than we search for repositories of git"
                    self.notes += (f"{text}: run git there with -c core.fsmonitor= -c core.hooksPath=/dev/null",)

    def _failure(self, problem: BaseException | None) -> Exception | None:
        """Return the exception to raise; ``None`` if nothing failed, or if the inner runner's error says everything."""
        if is_cut_short(self.status):
            self.status["code"] = KILLED  # for the report
        failure = failure_of(self.status, problem, command=self.name, limits=self.policy.limits)
        self.limit = limit_of(failure)
        return failure
