"""The exception for a call that failed, from its status."""

from __future__ import annotations

import errno
import signal
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import HookKilledError, HookProcessError, HookTimeoutError, SandboxSetupError
from ..policy import Limits
from ..policy.limits import LIMITS, Unit
from ..sandbox import wayout
from ..sandbox.forking import NO_THREAD
from .remedies import refusal
from .shortage import shortage_of

__all__ = ["KILLED", "failure_of", "is_cut_short"]

#: The code of a call whose launcher was killed, and its pid 1 with it.
KILLED = -signal.SIGKILL

# What the launcher lost, so that it ended the hook, and why, by the name that it reports instead of a limit's.
_LOST: dict[str, tuple[str, Callable[[], str]]] = {
    "watcher": ("watching the limits", lambda: "the watching process ended, so the launcher ended the hook"),
    NO_THREAD.decode(): ("watching the limits", lambda: shortage_of("fork", errno.EAGAIN)),
    "proxy": (wayout.STAGE, lambda: "the proxy to the hosts in 'network' ended, so the launcher ended the hook"),
}


def is_cut_short(status: Mapping[str, Any]) -> bool:
    """Return whether the launcher was killed after it had started pid 1. A set-up that fails reports that instead."""
    return status.get("state") is None and "pid" in status


def failure_of(
    status: Mapping[str, Any], problem: BaseException | None, *, command: str, limits: Limits
) -> Exception | None:
    """Return the exception to raise; ``None`` if nothing failed, or if the inner runner's error says everything.

    :param status: the status in the workspace
    :param problem: the exception of the inner runner, if it raised one
    :param command: the name of the hook, or of the command
    """
    state, code = status.get("state"), int(status.get("code") or 0)
    if state is None:
        return _without_report(status, problem, command)
    if state == "failed":
        return refusal(status, processes=limits.processes)
    if status.get("limit") in _LOST:
        stage, reason = _LOST[status["limit"]]
        return SandboxSetupError(stage, reason=reason())
    limit = status.get("limit") or _limit_of_signal(code, limits)
    if limit:
        return _exceeded(limit, getattr(limits, limit), code, command)
    if problem is None and (state != "exited" or status.get("code") != 0):
        return HookProcessError(code or 1, [command])
    return None


def _without_report(status: Mapping[str, Any], problem: BaseException | None, command: str) -> Exception | None:
    """Return the exception to raise if the launcher did not finish its work."""
    if is_cut_short(status):
        return HookProcessError(KILLED, [command]) if problem is None else None
    if problem is None or isinstance(problem, subprocess.CalledProcessError):
        return SandboxSetupError("starting the launcher", reason="the launcher exited without reporting a status")
    return None  # the inner runner did not start it, and its error says why


def _limit_of_signal(code: int, limits: Limits) -> str:
    """Return the limit for which the kernel ended the process with a signal, or an empty text."""
    signals = {-getattr(signal, LIMITS[name].signal): name for name in limits.present() if LIMITS[name].signal}
    return signals.get(code, "")


def _exceeded(name: str, value: Any, code: int, command: str) -> HookProcessError:
    if LIMITS[name].unit is Unit.SECONDS:
        return HookTimeoutError(code, (command,), limit=name, seconds=value)
    return HookKilledError(code, (command,), limit=name, value=value)
