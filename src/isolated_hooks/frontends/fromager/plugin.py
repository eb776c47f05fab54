"""The four functions of the plug-in interface that fromager's authors propose, which use our sandbox.

fromager will call ``setup_sandbox`` and ``teardown_sandbox`` once for each package and version, ``run_sandboxed`` for
commands that run upstream's code, and ``run_unconfined`` for all others. No release has the interface yet, so this
module follows their proposal, and :mod:`.interface` has its Protocols.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pathlib
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from packaging.requirements import Requirement

from ...errors import HookKilledError, HookProcessError, HookTimeoutError, PolicyError, SandboxSetupError
from ...files.spelling import absolute
from ...files.steered import recorded_trees
from ...hookcall import HookCall
from ...launchers.linker_variables import trusted_libraries
from ...policy import HOOKS, Policy
from ...protections import Protection, ProtectionState
from ...run.command import check_host, run_command
from ...run.leftovers import sweep
from ...runner import IsolatedRunner
from .interface import Completed, OptionalFile, RunCommand, SandboxLifecycle, StrOrBytesPath
from .policies import policy_of_build, requested, scrubbing
from .unit import Unit, Watch

__all__ = [
    "RunCommand",
    "SandboxLifecycle",
    "run_sandboxed",
    "run_unconfined",
    "setup_sandbox",
    "teardown_sandbox",
]

_logger = logging.getLogger(__name__)
# fromager builds no editable wheels, so a policy with none but those hooks takes a package out of the sandbox.
_HOOKS_OF_FROMAGER = frozenset(hook for hook in HOOKS if "editable" not in hook)


def setup_sandbox(*, ctx: Any, req: Requirement, sdist_root_dir: pathlib.Path) -> None:
    """Try the sandbox, so that fromager fails on an unsuitable host before it builds anything.

    It makes nothing that a later call needs: the other three functions work without it.

    :param ctx: fromager's ``WorkContext``
    :param req: the requirement that fromager is building
    :param sdist_root_dir: the source tree; the directory around it belongs to this build
    :raises SandboxUnavailableError: this host cannot provide a protection that the policy requires
    :raises PolicyError: an environment variable or a policy file is not valid, or the source tree lies in no directory
        of its own
    """
    unit = Unit.of(sdist_root_dir)
    policy = _policy(ctx, req, unit, unit.tree, ())
    if not _is_exempt(policy):
        check_host(unit.policy(policy, narrow=_narrow(policy), dist=True))


def teardown_sandbox(*, ctx: Any, req: Requirement, sdist_root_dir: pathlib.Path) -> None:
    """Remove what killed commands have left. A command that ended has left nothing itself.

    It raises no error for a build whose set-up failed, or that has none, or whose source tree is gone.
    """
    with contextlib.suppress(PolicyError):
        Unit.of(sdist_root_dir).forget()
    sweep()


def run_sandboxed(
    args: Sequence[StrOrBytesPath],
    *,
    ctx: Any,
    req: Requirement,
    sdist_root_dir: pathlib.Path,
    stdin: OptionalFile = None,
    stdout: OptionalFile = None,
    stderr: OptionalFile = None,
    cwd: StrOrBytesPath | None = None,
    timeout: float | None = None,
    text: bool | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a command in the sandbox, as ``subprocess.run(check=False)`` would run it.

    A hook call runs through :class:`IsolatedRunner`, which gives it its control directory and checks its results. Any
    other command may write its artefacts to ``dist`` beside the source tree. Both may write to the source tree, and
    make new entries beside it. The commands of one build run one after another, also in several threads.

    :param ctx: fromager's ``WorkContext``
    :param req: the requirement that fromager is building
    :param sdist_root_dir: the source tree; the directory around it belongs to this build
    :param stdin: as for ``subprocess.run``, but empty by default, and always for a hook
    :param cwd: a directory in the build's own directory (default: the source tree)
    :param timeout: seconds; it replaces a longer ``wall_time`` of the policy
    :param env: the whole environment (default: fromager's own). The policy filters variables that fromager inherited.
    :return: a :class:`subprocess.CompletedProcess`, also if the command failed
    :raises subprocess.TimeoutExpired: the command ran longer than the shorter of ``timeout`` and ``wall_time``
    :raises OSError: the command could not be started, as ``subprocess.run`` says it
    :raises UntrustedResultError: the results break a rule; none of them was used
    :raises SandboxUnavailableError, SandboxSetupError, PolicyError: as :class:`IsolatedRunner`
    """
    unit, extra = Unit.of(sdist_root_dir), _injected(env)
    directory = unit.tree if cwd is None else unit.directory(cwd)
    policy = _policy(ctx, req, unit, directory, extra)
    if _is_exempt(policy):
        _logger.warning("%s: the policy takes this package out of the sandbox", req.name)
        return subprocess.run(
            args,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=directory,
            timeout=timeout,
            text=text,
            env=env,
            check=False,
        )
    files = {"stdin": subprocess.DEVNULL if stdin is None else stdin, "stdout": stdout, "stderr": stderr}
    call = _Call(args, unit, cwd, {**files, "text": text}, os.environ if env is None else env, extra)
    if timeout is not None and timeout <= 0:
        raise subprocess.TimeoutExpired(args, timeout)
    with unit.alone():
        return call.run(_timed(policy, timeout), null=stdin is None)


def run_unconfined(
    args: Sequence[StrOrBytesPath],
    *,
    ctx: Any,
    req: Requirement,
    sdist_root_dir: pathlib.Path,
    stdin: OptionalFile = None,
    stdout: OptionalFile = None,
    stderr: OptionalFile = None,
    cwd: StrOrBytesPath | None = None,
    timeout: float | None = None,
    text: bool | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run one of fromager's own commands without a sandbox, as ``subprocess.run(check=False)`` does."""
    return subprocess.run(
        args, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, timeout=timeout, text=text, env=env, check=False
    )


class _Call:
    """One call of :func:`run_sandboxed`."""

    def __init__(
        self,
        args: Sequence[StrOrBytesPath],
        unit: Unit,
        cwd: StrOrBytesPath | None,
        files: Mapping[str, Any],
        environ: Mapping[str, str],
        extra: Mapping[str, str],
    ) -> None:
        self._args = args
        self._command = [os.fsdecode(a) for a in ([args] if isinstance(args, (str, bytes, os.PathLike)) else args)]
        self._name = self._command[0]  # an IndexError, as that of subprocess.run
        if any("\0" in part for part in self._command):
            raise ValueError("embedded null byte")
        self._unit = unit
        self._directory = unit.tree if cwd is None else unit.directory(cwd)
        # For hooks, because all that pyproject_hooks says about the tree is spelled as fromager spells it.
        self._spelled = unit.tree if cwd is None else absolute(os.fsdecode(cwd))
        self._files = files
        self._environ = environ
        self._extra = extra
        self._done: list[subprocess.CompletedProcess[Any]] = []

    def run(self, policy: Policy, *, null: bool) -> Completed:
        """Run the command, and return what became of it."""
        watch = Watch(self._unit)
        try:
            code = self._run_hook(policy) if self._is_hook() else self._run_other(policy, null=null)
        except HookTimeoutError as error:
            raise self._timed_out(error.seconds) from error
        except HookProcessError as error:
            if isinstance(error, HookKilledError):
                _logger.error("%s: %s", self._name, error)
            code = error.returncode
        except SandboxSetupError as error:
            if error.syscall != "execve":
                raise
            raise OSError(error.errno, os.strerror(error.errno or 0), self._name) from error
        finally:
            watch.check()
        last = self._done[-1] if self._done else None
        return subprocess.CompletedProcess(self._args, code, last and last.stdout, last and last.stderr)

    def _is_hook(self) -> bool:
        return len(self._command) == 4 and self._command[2] in HOOKS

    def _run_hook(self, policy: Policy) -> int:
        output = HookCall.parse(self._command, self._spelled).output_directory
        outputs = () if output is None else (os.path.realpath(output),)
        policy = self._unit.policy(policy, narrow=_narrow(policy), dist=False, outputs=outputs)
        IsolatedRunner(policy, self._start)(self._command, cwd=self._spelled, extra_environ=self._extra)
        return 0

    def _run_other(self, policy: Policy, *, null: bool) -> int:
        def run(launcher: list[str]) -> None:
            self._start(launcher, self._directory)

        report = run_command(
            self._command,
            self._directory,
            self._unit.policy(policy, narrow=_narrow(policy), dist=True),
            run,
            stdin="null" if null else "inherit",
            extra_environ=self._extra,
            python=next(iter(self._unit.environments()), ""),
            tree=self._unit.tree,
        )
        return report.returncode or 0

    def _start(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        environ = {**self._environ, **(extra_environ or {})}
        # The launcher starts in the source tree, and must not load libraries from there.
        environ |= trusted_libraries(environ, recorded_trees())
        self._done.append(subprocess.run(cmd, cwd=cwd, env=environ, check=False, **self._files))

    def _timed_out(self, seconds: float) -> subprocess.TimeoutExpired:
        streams = (self._done[-1].stdout, self._done[-1].stderr) if self._done else (None, None)
        # As subprocess.run does it: bytes, even for text.
        output, errors = (os.fsencode(stream) if isinstance(stream, str) else stream for stream in streams)
        return subprocess.TimeoutExpired(self._args, seconds, output, errors)


def _injected(env: Mapping[str, str] | None) -> dict[str, str]:
    """Return the variables of an environment that fromager has not inherited as they are."""
    return {name: value for name, value in (env or {}).items() if os.environ.get(name) != value}


def _policy(
    ctx: Any, req: Requirement, unit: Unit, directory: str, injected: Mapping[str, str] | Sequence[str]
) -> Policy:
    policies = requested(os.environ)
    policy = scrubbing(Policy() if policies is None else policies(req.name), os.environ)
    return policy_of_build(policy, ctx, injected=tuple(injected), build_dir=directory, sdist_root_dir=unit.tree)


def _is_exempt(policy: Policy) -> bool:
    return policy.hooks.isdisjoint(_HOOKS_OF_FROMAGER)


def _narrow(policy: Policy) -> bool:
    """Return whether this host has no mount namespace, so that nothing can keep a part of a tree read-only."""
    if not policy.permits(Protection.FILESYSTEM, ProtectionState.DEGRADED):
        return False
    states = {status.protection: status.state for status in check_host(policy)}
    return states[Protection.FILESYSTEM] is ProtectionState.DEGRADED


def _timed(policy: Policy, timeout: float | None) -> Policy:
    limits = policy.limits
    if timeout is None or (limits.wall_time is not None and limits.wall_time <= timeout):
        return policy
    return dataclasses.replace(policy, limits=dataclasses.replace(limits, wall_time=timeout))
