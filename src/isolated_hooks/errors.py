"""Every exception that this package defines. All of them can be pickled, because frontends use pools of processes.

Failures of the hook itself are not here: the errors of the frontend's own runner, and ``BackendUnavailable``,
``HookMissing`` and ``UnsupportedOperation`` of pyproject_hooks, pass through unchanged.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Sequence
from typing import Any

from .text import visible

__all__ = [
    "HookKilledError",
    "HookProcessError",
    "HookTimeoutError",
    "IsolatedHooksError",
    "IsolationDegradedWarning",
    "PolicyError",
    "SandboxSetupError",
    "SandboxUnavailableError",
    "SwapError",
    "UntrustedResultError",
    "WritablePathWarning",
]


class IsolatedHooksError(Exception):
    """The base class of every error that this package defines.

    :ivar explanation: the same as :attr:`HookReport.explanation`, if a hook that ran has raised the error; not pickled
    """

    explanation = ""


class PolicyError(IsolatedHooksError, ValueError):
    """A policy or its input is not valid: for example an unknown key, a wrong type, or a path that does not exist."""


class SandboxUnavailableError(IsolatedHooksError):
    """This host lacks something that the policy requires. Nothing was run.

    :ivar missing: a tuple of sentences, one for each thing that is missing
    :ivar remedy: instructions that an operator can follow
    """

    def __init__(self, missing: Sequence[str], remedy: str) -> None:
        super().__init__(missing, remedy)
        self.missing = tuple(missing)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"the sandbox is not available on this host: {'; '.join(self.missing)}. Remedy: {self.remedy}"


class SandboxSetupError(IsolatedHooksError, OSError):
    """Setting up the sandbox failed. The hook was not run, and nothing was left behind.

    :ivar stage: the step that failed, in words
    :ivar syscall: the name of the system call that failed, or an empty string
    :ivar path: the path that the step concerned, or ``None``
    :ivar errno: the error number of the system call, or 0
    :ivar strerror: the reason, in words
    """

    def __init__(
        self, stage: str, *, syscall: str = "", path: str | None = None, errno: int = 0, reason: str = ""
    ) -> None:
        super().__init__(errno, reason or (os.strerror(errno) if errno else "failed"))
        self.stage = stage
        self.syscall = syscall
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        make = functools.partial(
            type(self),
            self.stage,
            syscall=self.syscall,
            path=self.path,
            errno=self.errno or 0,
            reason=self.strerror or "",
        )
        return make, (), self.__dict__

    def __str__(self) -> str:
        call = f": {self.syscall}" if self.syscall else ""
        path = f": {visible(self.path)}" if self.path else ""
        return f"could not set up the sandbox: {self.stage}{call}{path}: {self.strerror}"

    def __repr__(self) -> str:
        # build prints the repr() of errors that its backend calls raise; OSError's repr() lacks the step and the path.
        return f"{type(self).__name__}({str(self)!r})"


class HookProcessError(IsolatedHooksError, subprocess.CalledProcessError):
    """The hook's process failed, and the frontend's runner raised no error."""


class HookTimeoutError(HookProcessError):
    """The hook was ended because it reached a time limit.

    :ivar limit: the name of the limit, an attribute of :class:`Limits`
    :ivar seconds: the value of the limit, in seconds
    """

    def __init__(self, returncode: int, cmd: Sequence[str], *, limit: str, seconds: float) -> None:
        super().__init__(returncode, list(cmd))
        self.limit = limit
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        make = functools.partial(type(self), self.returncode, self.cmd, limit=self.limit, seconds=self.seconds)
        return make, (), self.__dict__

    def __str__(self) -> str:
        return f"the hook was ended after {self.seconds:g} seconds: limit {self.limit!r}"


class HookKilledError(HookProcessError):
    """The hook was killed because it exceeded a limit other than time.

    :ivar limit: the name of the limit, an attribute of :class:`Limits`
    :ivar value: the value of the limit: a number of bytes, or a count for ``processes`` and ``open_files``
    """

    def __init__(self, returncode: int, cmd: Sequence[str], *, limit: str, value: int) -> None:
        super().__init__(returncode, list(cmd))
        self.limit = limit
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        make = functools.partial(type(self), self.returncode, self.cmd, limit=self.limit, value=self.value)
        return make, (), self.__dict__

    def __str__(self) -> str:
        return f"the hook was killed: it exceeded the limit {self.limit!r} of {self.value}"


class UntrustedResultError(IsolatedHooksError):
    """The hook's results break a rule, so none of them was used.

    :ivar rule: the rule, in words
    :ivar text: the first 200 characters of the offending text, escaped so that no terminal or CI service obeys them
    """

    def __init__(self, rule: str, text: object = "") -> None:
        self.rule = rule
        self.text = visible(str(text), limit=200)
        # args and repr() hold the escaped text too, because a program may log them where a CI service obeys commands.
        super().__init__(rule, self.text)

    def __str__(self) -> str:
        return f"the hook's result was refused: {self.rule}" + (f": {self.text}" if self.text else "")


class SwapError(IsolatedHooksError):
    """There was nothing to swap, or the swapped class was not used, so hooks would run, or ran, without a sandbox."""


class IsolationDegradedWarning(UserWarning):
    """A protection is degraded, and the policy allows that."""


class WritablePathWarning(UserWarning):
    """A variable of the frontend's own environment names a directory that hooks may write to.

    The frontend may then start, import or read what a hook wrote, outside of any sandbox.
    """
