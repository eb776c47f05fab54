"""A launcher that sets nothing up: it reports what a test says, so a test can be any host in some milliseconds."""

from __future__ import annotations

import dataclasses
import marshal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks.launchers import BUILT_IN
from isolated_hooks.launchers.native import Native
from isolated_hooks.plan import Identity, Plan
from isolated_hooks.protections import Protection, ProtectionStatus
from isolated_hooks.run import trial
from isolated_hooks.sandbox.operations import Overlay

__all__ = ["WORKED", "Scripted", "Started", "failed", "has_overlay", "start"]

#: What a child reports whose command ended well, or which had none.
WORKED: Mapping[str, Any] = {"state": "exited", "code": 0}


def failed(syscall: str, number: int, stage: str = "identity", **more: Any) -> dict[str, Any]:
    """Return what a child reports if a system call of the set-up fails."""
    return {"state": "failed", "stage": stage, "syscall": syscall, "errno": number, **more}


def has_overlay(plan: Plan) -> bool:
    """Return whether a plan mounts an overlay."""
    return any(isinstance(operation, Overlay) for operation in plan.operations)


def start(command: list[str]) -> None:
    """Start a command as a runner of a frontend does."""
    subprocess.run(command, check=True)


@dataclasses.dataclass(frozen=True)
class Started:
    """One start of a launcher.

    :ivar plan: the plan
    :ivar argv: the command, empty for a trial of the host
    """

    plan: Plan
    argv: tuple[str, ...]

    @property
    def identity(self) -> Identity:
        """The identity that it was to give the hook."""
        return self.plan.identity


class Scripted(Native):
    """Takes the place of ``native``, and of everything that this process remembers of its host.

    :param answer: returns the status that the child is to report, or ``None`` if it reports none
    :param said: what the child writes to its output
    :param code: the exit code of the launcher if the child reports nothing, or that its set-up failed
    :param wrong: protections that the launcher says to be otherwise than the plan has them
    :ivar started: what was started, in order
    """

    warm = False

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        answer: Callable[[Started], Mapping[str, Any] | None] = lambda _: WORKED,
        *,
        said: str = "",
        code: int = 1,
        wrong: Sequence[ProtectionStatus] = (),
    ) -> None:
        self.started: list[Started] = []
        self._answer, self._said, self._code = answer, said, code
        self._wrong: Mapping[Protection, ProtectionStatus] = {status.protection: status for status in wrong}
        monkeypatch.setitem(BUILT_IN, "native", lambda: self)
        monkeypatch.setattr(trial, "_tried", {})
        monkeypatch.setattr(trial, "_overlays", {})

    @property
    def tried(self) -> list[Identity]:
        """The identities that were tried without a command."""
        return [started.identity for started in self.started if not started.argv]

    @property
    def commands(self) -> list[Plan]:
        """The plans of those that had a command."""
        return [started.plan for started in self.started if started.argv]

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        return [self._wrong.get(status.protection, status) for status in super().protections(plan)]

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        started = Started(plan, tuple(argv))
        self.started.append(started)
        status = self._answer(started)
        answer = Path(workspace, "answer")
        if status is None:
            answer.unlink(missing_ok=True)
        else:
            answer.write_bytes(marshal.dumps(dict(status)))
        code = status.get("code", self._code) if status is not None else self._code
        program = '[ ! -e "$1" ] || mv "$1" "$2"; printf %s "$3"; exit "$4"'
        return ["/bin/sh", "-c", program, "sh", str(answer), f"{workspace}/status", self._said, str(code)]
