"""A subprocess runner that puts each hook call into a sandbox, and lets the frontend's own runner start it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Collection, Mapping, Sequence

import pyproject_hooks

from .answers import Answers
from .errors import IsolatedHooksError, PolicyError
from .hookcall import HookCall, SubprocessRunner
from .launchers import BUILT_IN, find_launcher
from .plan.holds import unprotected
from .policy import Policy
from .report import HookReport
from .run.discard import DiscardedTrees
from .run.hook import HookRun

__all__ = ["IsolatedRunner", "SubprocessRunner"]


class IsolatedRunner:
    """A subprocess runner that puts every hook call into a sandbox, and lets another runner start it.

    :param policy: what hooks may do (default: ``Policy()``)
    :param inner: the frontend's own runner, which starts the sandbox, so its logging, output capture and environment
        work as before (default: :func:`pyproject_hooks.default_subprocess_runner`)
    :ivar policy: the policy
    :ivar inner: the runner that starts the sandbox
    :ivar reports: a list with one :class:`HookReport` for each call, in the order in which the calls ended
    :ivar unpacked: names of hooks whose sdist the frontend unpacks outside any sandbox; the runner checks the members
        of these sdists even if the policy has no deep check
    :ivar own_environment: the frontend starts every program with an environment whose search paths lead into no tree
        that hooks may write to, so there is no :class:`WritablePathWarning`
    :ivar detailed: reports say what each hook changed in the source tree, left in its HOME, and used, which costs a
        walk of the tree before and after each hook
    :ivar observes: reports say what each hook asked for and did not get, also if it succeeds. Pid 1 looks at each call
        that opens, finds or executes something, which makes a hook slower
    :ivar answers: recorded answers of hooks, which are given and not asked for again, or the object that records them
    :raises PolicyError: ``policy`` is not a :class:`Policy`
    """

    def __init__(self, policy: Policy | None = None, inner: SubprocessRunner | None = None) -> None:
        if not isinstance(policy, (Policy, type(None))):
            raise PolicyError(f"policy: expected an isolated_hooks.Policy, got a {type(policy).__name__}")
        self.policy = Policy() if policy is None else policy
        self.inner: SubprocessRunner = pyproject_hooks.default_subprocess_runner if inner is None else inner
        self.reports: list[HookReport] = []
        self.unpacked: Collection[str] = ()
        self.own_environment = False
        self.detailed = False
        self.observes = False
        self.answers: Answers | None = None
        self._discards = DiscardedTrees()
        if self.policy.launcher not in BUILT_IN:
            # Import it before any hook, which could change what would be imported. A call raises its error.
            with contextlib.suppress(IsolatedHooksError):
                find_launcher(self.policy.launcher)

    def wrapping(self, inner: SubprocessRunner) -> IsolatedRunner:
        """Return a runner with the same policy and reports around another runner."""
        if isinstance(inner, IsolatedRunner):
            # Otherwise a hook would run that recorded answers stand for.
            return inner if self.answers is None or inner.answers is not None else inner.answered(self.answers)
        other = copy.copy(self)
        other.inner = inner
        return other

    def answered(self, answers: Answers) -> IsolatedRunner:
        """Return a runner with the same policy, reports and inner runner, and with recorded answers."""
        other = copy.copy(self)
        other.answers = answers
        return other

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        """Run one hook call in a sandbox.

        :param cmd: the command of pyproject_hooks: interpreter, hook script, hook name, control directory
        :param cwd: path of the source tree (default: the current directory)
        :param extra_environ: variables for the hook, which override the inherited ones
        :raises PolicyError: ``cmd`` is not a hook call, or the policy does not allow this one
        :raises SandboxUnavailableError: this host lacks something that the policy requires; nothing was run
        :raises SandboxSetupError: setting up the sandbox failed; the hook was not run
        :raises HookTimeoutError: the hook reached a time limit
        :raises HookKilledError: the hook exceeded another limit
        :raises HookProcessError: the hook failed, and the inner runner did not raise an error
        :raises UntrustedResultError: the hook's results break a rule; none of them was used
        """
        call = HookCall.parse(cmd, cwd)
        if self.answers is not None and self.answers.answer(call, self.policy):
            return
        if call.hook not in self.policy.hooks:
            self.inner(cmd, cwd=cwd, extra_environ=extra_environ)
            self.reports.append(HookReport(call.hook, call.source_dir, unprotected(), returncode=0))
            return
        run = HookRun(call, self.policy, self.inner, dict(extra_environ or {}), self.reports.append)
        run.unpacked = call.hook in self.unpacked
        run.warns = not self.own_environment
        run.discards = self._discards
        run.detailed = self.detailed
        run.observes = self.observes
        run.execute()
        if self.answers is not None:
            self.answers.record(call, run.returned)
