"""Run any command in a sandbox, under the policy for hooks; and try this host, with a run that has no command."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..errors import HookKilledError, HookProcessError, HookTimeoutError
from ..launchers.warm import permitted
from ..plan import Layout, Plan, Situation
from ..plan.holds import with_degradations
from ..plan.planner import plan_command
from ..policy import Policy
from ..protections import ProtectionStatus
from ..report import HookReport
from . import trial
from .leftovers import sweep_if_due
from .platform_check import check_platform
from .run import Run
from .workspace import Workspace

__all__ = ["check_host", "run_command"]


class _CommandRun(Run):
    """One run of any command, or a trial without a command."""

    def __init__(
        self,
        argv: Sequence[str],
        tree: str,
        policy: Policy,
        starter: Callable[[list[str]], None] = lambda _: None,
        done: Callable[[HookReport], None] = lambda _: None,
    ) -> None:
        super().__init__(argv[0] if argv else "", tree, policy, done)
        self.argv = argv
        self.cwd = tree
        self.starter = starter
        self.stdin = "inherit"
        self.terminal = ""
        self.extra: Mapping[str, str] = {}
        self.python = ""

    def make_plan(self, situation: Situation, layout: Layout) -> Plan:
        options: dict[str, Any] = {
            "stdin": self.stdin,
            "terminal": self.terminal,
            "python": self.python,
            "extra": self.extra,
            "tree": self.source,
        }
        return plan_command(self.argv, self.cwd, self.policy, situation, layout, **options)

    def start(self, command: list[str]) -> None:
        with permitted(self.may_be_warm) as permission:
            try:
                self.starter(command)
            finally:
                self.warm = permission.used


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
    set_aside: bool = True,
    tree: str = "",
) -> HookReport:
    """Run any command in a sandbox, with ``cwd`` as its source tree, and return the report.

    :param argv: the command and its arguments
    :param cwd: path of the source tree, and the command's current directory
    :param policy: what the command may do
    :param start: runs the launcher's command to its end; it need not raise an error if that fails
    :param stdin: ``"inherit"`` or ``"null"``
    :param terminal: path of the pseudo-terminal that ``start`` passes as descriptor 0, or an empty string
    :param extra_environ: variables that ``start`` passes, which override the inherited ones
    :param python: path of an interpreter that the command sees, with everything that it loads, or an empty string
    :param set_aside: whether to rename repositories of git that the command leaves
    :param tree: path of the source tree, if ``cwd`` is a directory in it, or in a writable path
    :return: the report; its ``returncode`` is the command's, which raises no error
    :raises HookTimeoutError: the command reached a time limit
    :raises HookKilledError: the command exceeded another limit
    :raises SandboxUnavailableError: this host lacks something that the policy requires
    :raises SandboxSetupError: setting up the sandbox failed
    :raises PolicyError: the command or a path does not fit the policy
    """
    reports: list[HookReport] = []
    run = _CommandRun(argv, tree or cwd, policy, start, reports.append)
    run.cwd = cwd
    run.stdin, run.terminal, run.python, run.extra = stdin, terminal, python, extra_environ
    run.sets_aside = set_aside
    try:
        run.execute()
    except (HookTimeoutError, HookKilledError):
        raise
    except HookProcessError:
        pass  # the report has the exit code
    return reports[-1]


def check_host(policy: Policy, *, observes: bool = False) -> tuple[ProtectionStatus, ...]:
    """Try the sandbox on an empty tree, so an unsuitable host raises an error before any other work.

    :param observes: hooks are to be observed, see :class:`isolated_hooks.IsolatedRunner`
    :return: the status of every protection in the trial
    :raises SandboxUnavailableError: this host lacks something that the policy requires
    :raises SandboxSetupError: setting up the sandbox failed
    """
    check_platform()
    sweep_if_due()
    policy = dataclasses.replace(policy, source="read-write")
    with (
        Workspace(policy.writable) as tree,
        Workspace(policy.writable) as workspace,
    ):
        # The empty tree is in a workspace too, so a later sweep removes it if this process is killed.
        source = tree.layout.staging
        run = _CommandRun((), source, policy)
        run.stdin = "null"  # as for hooks
        run.observes = observes
        with trial.beginning(policy, run.launcher, workspace):
            plan = run.tried_plan(workspace)
        degraded = trial.degradations(plan, (source, *policy.writable, workspace.path))
        return with_degradations(run.launcher.protections(plan), degraded)
