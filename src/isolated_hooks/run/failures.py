"""What the status of a call that went wrong is raised as."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from ..errors import HookKilledError, HookProcessError, HookTimeoutError, SandboxSetupError
from ..policy import Limits
from ..policy.limits import LIMITS, Unit
from .remedies import refusal

__all__ = ["KILLED", "failure_of", "is_cut_short"]

#: The code of a call whose launcher was killed, and its pid 1 with it.
KILLED = -signal.SIGKILL


def is_cut_short(status: Mapping[str, Any]) -> bool:
    """Say whether the launcher was killed after it had started pid 1: a set-up that fails says so."""
    return status.get("state") is None and "pid" in status


def failure_of(
    status: Mapping[str, Any], problem: BaseException | None, *, command: str, limits: Limits
) -> Exception | None:
    """Return what is to be raised, or ``None`` where nothing went wrong or the inner runner's error says it all.

    :param status: as the workspace has it
    :param problem: what the inner runner raised
    :param command: the name of the hook, or of the command
    """
    state, code = status.get("state"), int(status.get("code") or 0)
    if state is None:
        return _without_report(status, problem, command)
    if state == "failed":
        return refusal(status)
    if status.get("limit") == "watcher":
        return SandboxSetupError("watching the limits", reason="the watching process has ended; so was the hook")
    limit = status.get("limit") or _limit_of_signal(code, limits)
    if limit:
        return _exceeded(limit, getattr(limits, limit), code, command)
    if problem is None and (state != "exited" or status.get("code") != 0):
        return HookProcessError(code or 1, [command])
    return None


def _without_report(status: Mapping[str, Any], problem: BaseException | None, command: str) -> Exception | None:
    """Return what is to be raised where the launcher has not come to the end of its work."""
    if is_cut_short(status):
        return HookProcessError(KILLED, [command]) if problem is None else None
    if problem is None or isinstance(problem, subprocess.CalledProcessError):
        return SandboxSetupError("starting the launcher", reason="the launcher exited without reporting a status")
    return None  # the inner runner has not started it, and says why


def _limit_of_signal(code: int, limits: Limits) -> str:
    """Return the limit that the kernel ended the process for with a signal of its own, or an empty text."""
    signals = {-getattr(signal, LIMITS[name].signal): name for name in limits.present() if LIMITS[name].signal}
    return signals.get(code, "")


def _exceeded(name: str, value: Any, code: int, command: str) -> HookProcessError:
    if LIMITS[name].unit is Unit.SECONDS:
        return HookTimeoutError(code, (command,), limit=name, seconds=value)
    return HookKilledError(code, (command,), limit=name, value=value)
