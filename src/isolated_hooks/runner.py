"""The runner: puts each hook call into a sandbox, and has the frontend's own runner start it."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence

import pyproject_hooks

from .errors import PolicyError
from .hookcall import HookCall, SubprocessRunner
from .plan.holds import unprotected
from .policy import Policy
from .report import HookReport
from .run.hook import HookRun

__all__ = ["IsolatedRunner", "SubprocessRunner"]


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
        run = HookRun(call, self.policy, self.inner, dict(extra_environ or {}), self.reports.append)
        run.unpacked = call.hook in self.unpacked
        run.execute()
