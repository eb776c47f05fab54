"""An adapter for the plug-in interface that fromager's authors plan: its four functions use our sandbox.

fromager will call ``setup_sandbox`` and ``teardown_sandbox`` once for each source tree, ``run_sandboxed`` for commands
that run upstream's code, and ``run_unconfined`` for all others. No release has the interface yet, so this adapter
follows their proposal.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Any

from ...errors import HookProcessError, HookTimeoutError
from ...hookcall import SubprocessRunner
from ...policy import HOOKS, Policy
from ...run.command import check_host, run_command
from ...runner import IsolatedRunner
from .policies import policy_of_build, requested, scrubbing

__all__ = ["run_sandboxed", "run_unconfined", "setup_sandbox", "teardown_sandbox"]

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_File = int | IO[Any] | None
_Completed = subprocess.CompletedProcess[Any]


def setup_sandbox(*, ctx: Any, req: Any, sdist_root_dir: os.PathLike[str]) -> None:
    """Try the sandbox, so that fromager fails on an unsuitable host before it builds anything.

    :param ctx: fromager's ``WorkContext``
    :param req: the requirement that fromager is building, a ``packaging.requirements.Requirement``
    :param sdist_root_dir: the source tree
    :raises SandboxUnavailableError: this host cannot provide a protection that the policy requires
    :raises PolicyError: an environment variable or a policy file is not valid
    """
    check_host(_policy(ctx, req, os.fspath(sdist_root_dir), os.fspath(sdist_root_dir), ()))


def teardown_sandbox(*, ctx: Any, req: Any, sdist_root_dir: os.PathLike[str]) -> None:
    """Do nothing: each sandbox ends with its command and leaves nothing behind."""


def run_sandboxed(
    args: Sequence[_Path],
    *,
    ctx: Any,
    req: Any,
    sdist_root_dir: os.PathLike[str],
    stdin: _File = None,
    stdout: _File = None,
    stderr: _File = None,
    cwd: _Path | None = None,
    timeout: float | None = None,
    text: bool | None = None,
    env: Mapping[str, str] | None = None,
) -> _Completed:
    """Run a command in the sandbox, as ``subprocess.run(check=False)`` would run it.

    A hook call runs through :class:`IsolatedRunner`, which gives it its control directory and checks its results. Any
    other command can write only to the source tree. ``stdin`` is empty by default.

    :param ctx: fromager's ``WorkContext``
    :param req: the requirement that fromager is building, a ``packaging.requirements.Requirement``
    :param sdist_root_dir: the source tree
    :param timeout: seconds, as a float; it replaces a longer ``wall_time`` of the policy
    :param env: the whole environment, as fromager makes it. The policy filters variables that fromager inherited.
    :return: a :class:`subprocess.CompletedProcess`
    :raises subprocess.TimeoutExpired: the command ran longer than the shorter of ``timeout`` and ``wall_time``
    :raises SandboxUnavailableError, SandboxSetupError, UntrustedResultError, PolicyError: as :class:`IsolatedRunner`
    """
    command = [os.fsdecode(arg) for arg in args]
    tree = os.fspath(sdist_root_dir)
    directory = tree if cwd is None else os.fsdecode(cwd)
    extra = {name: value for name, value in (env or {}).items() if os.environ.get(name) != value}
    policy = _policy(ctx, req, directory, tree, extra)
    limits = policy.limits
    if timeout is not None and (limits.wall_time is None or timeout < limits.wall_time):
        policy = dataclasses.replace(policy, limits=dataclasses.replace(limits, wall_time=timeout))
    done: list[_Completed] = []

    def start(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        environ = {**(os.environ if env is None else env), **(extra_environ or {})}
        own_stdin = subprocess.DEVNULL if stdin is None else stdin
        done.append(
            subprocess.run(
                cmd, stdin=own_stdin, stdout=stdout, stderr=stderr, cwd=cwd, text=text, env=environ, check=False
            )
        )

    try:
        if len(command) == 4 and command[2] in HOOKS:
            code = _run_hook(IsolatedRunner(policy, start), command, directory, extra)
        else:
            code = _run_other(
                command, directory, policy, start, stdin="null" if stdin is None else "inherit", extra=extra
            )
    except HookTimeoutError as error:
        raise subprocess.TimeoutExpired(command, error.seconds) from error
    return subprocess.CompletedProcess(command, code, done[-1].stdout, done[-1].stderr)


def run_unconfined(
    args: Sequence[_Path],
    *,
    ctx: Any,
    req: Any,
    sdist_root_dir: os.PathLike[str],
    stdin: _File = None,
    stdout: _File = None,
    stderr: _File = None,
    cwd: _Path | None = None,
    timeout: float | None = None,
    text: bool | None = None,
    env: Mapping[str, str] | None = None,
) -> _Completed:
    """Run one of fromager's own commands without a sandbox, as ``subprocess.run(check=False)`` does."""
    return subprocess.run(
        args, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, timeout=timeout, text=text, env=env, check=False
    )


def _run_hook(runner: IsolatedRunner, command: list[str], directory: str, extra: Mapping[str, str]) -> int:
    try:
        runner(command, cwd=directory, extra_environ=extra)
    except HookTimeoutError:
        raise
    except HookProcessError as error:
        return error.returncode
    return 0


def _run_other(
    command: list[str], directory: str, policy: Policy, start: SubprocessRunner, *, stdin: str, extra: Mapping[str, str]
) -> int:
    def run(launcher: list[str]) -> None:
        start(launcher, directory)

    return run_command(command, directory, policy, run, stdin=stdin, extra_environ=extra).returncode or 0


def _policy(ctx: Any, req: Any, directory: str, tree: str, injected: Mapping[str, str] | Sequence[str]) -> Policy:
    policies = requested(os.environ)
    policy = scrubbing(Policy() if policies is None else policies(req.name), os.environ)
    return policy_of_build(policy, ctx, injected=tuple(injected), build_dir=directory, sdist_root_dir=tree)
