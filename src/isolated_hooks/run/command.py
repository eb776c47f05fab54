"""Any command in a sandbox, under the policy that hooks get; and a trial of the host, which is a run of none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..errors import HookKilledError, HookProcessError, HookTimeoutError
from ..plan import Layout, Plan, Situation
from ..plan.holds import with_degradations
from ..plan.planner import plan_command
from ..policy import Policy
from ..protections import ProtectionStatus
from ..report import HookReport
from . import trial
from .leftovers import sweep_once
from .platform_check import check_platform
from .run import Run
from .workspace import Workspace, workspace_parent

__all__ = ["check_host", "run_command"]


class _CommandRun(Run):
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
    run.starter, run.stdin, run.terminal = start, stdin, terminal
    run.python, run.extra = python, extra_environ
    try:
        run.execute()
    except (HookTimeoutError, HookKilledError):
        raise
    except HookProcessError:
        pass  # its exit code is in the report
    return reports[-1]


def check_host(policy: Policy) -> tuple[ProtectionStatus, ...]:
    """Try the sandbox on an empty tree, so that a host that cannot do it is found before anything else is done.

    :return: the state of every protection there
    :raises SandboxUnavailableError: this host cannot do what the policy requires
    """
    check_platform()
    sweep_once(workspace_parent(policy.writable))
    with (
        Workspace(policy.writable) as other,
        Workspace(policy.writable) as workspace,
    ):
        # The empty tree: in a workspace too, so that it is found where this process is killed.
        source = other.layout.staging
        run = _CommandRun((), source, policy, lambda _: None)
        run.stdin = "null"  # as hooks have it
        plan = run.tried_plan(workspace)
        degraded = trial.degradations(plan, (source, *policy.writable, workspace.path))
        return with_degradations(run.launcher.protections(plan), degraded)
