"""Every exception that this package raises by itself. All of them can be pickled: frontends have pools of processes.

What the hook did wrong by itself is not here: the error of the frontend's own runner, and pyproject_hooks'
``BackendUnavailable``, ``HookMissing`` and ``UnsupportedOperation``, pass through unchanged.
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
]


class IsolatedHooksError(Exception):
    """Base of every error that isolated-hooks raises."""


class PolicyError(IsolatedHooksError, ValueError):
    """A policy, or what it was applied to, is not valid: a wrong key, a wrong type, a path that does not exist."""


class SandboxUnavailableError(IsolatedHooksError):
    """This host cannot give what the policy requires. Nothing was run.

    :ivar missing: what is missing, one sentence each
    :ivar remedy: what to do about it, ready to be followed
    """

    def __init__(self, missing: Sequence[str], remedy: str) -> None:
        super().__init__(missing, remedy)
        self.missing = tuple(missing)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"the sandbox is not available on this host: {'; '.join(self.missing)}. Remedy: {self.remedy}"


class SandboxSetupError(IsolatedHooksError, OSError):
    """Setting up the sandbox failed half-way. The hook was not run and nothing was left behind.

    :ivar stage: the step that failed, in words
    :ivar syscall: the system call, or an empty string where none was involved
    :ivar path: the path that it was about, or ``None``
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
        # build prints this of whatever its backend calls raise; that of OSError has neither the step nor the path.
        return f"{type(self).__name__}({str(self)!r})"


class HookProcessError(IsolatedHooksError, subprocess.CalledProcessError):
    """The hook's process failed, and the frontend's runner did not say so itself."""


class HookTimeoutError(HookProcessError):
    """The hook was ended because it ran into a time limit.

    :ivar limit: the name of the limit
    :ivar seconds: its value
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
    """The hook was ended because it ran into a limit other than time.

    :ivar limit: the name of the limit
    :ivar value: its value, in the limit's unit
    """

    def __init__(self, returncode: int, cmd: Sequence[str], *, limit: str, value: int) -> None:
        super().__init__(returncode, list(cmd))
        self.limit = limit
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        make = functools.partial(type(self), self.returncode, self.cmd, limit=self.limit, value=self.value)
        return make, (), self.__dict__

    def __str__(self) -> str:
        return f"the hook was killed by the limit {self.limit!r} of {self.value}"


class UntrustedResultError(IsolatedHooksError):
    """What a hook left behind breaks a rule, so none of it was used.

    :ivar rule: the rule that was broken, in words
    :ivar text: the offending text with everything unprintable made visible, possibly cut
    """

    def __init__(self, rule: str, text: object = "") -> None:
        self.rule = rule
        self.text = visible(str(text), limit=200)
        # Not the text as it came: whoever logs the repr() of an error, or its args, means no command by it either.
        super().__init__(rule, self.text)

    def __str__(self) -> str:
        return f"the hook's result was refused: {self.rule}" + (f": {self.text}" if self.text else "")


class SwapError(IsolatedHooksError):
    """There was nothing to swap, or what was swapped was not used: hooks would run without a sandbox, or did."""


class IsolationDegradedWarning(UserWarning):
    """A protection is weaker than it could be, and the policy allows that."""
