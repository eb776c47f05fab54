"""The plug-in interface that fromager's authors propose (its pull request 1171), for type checkers.

No release of fromager has it yet. Its own Protocols will accept our functions as well: they differ in ``ctx`` alone,
which is fromager's ``WorkContext`` there, and anything here.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Any, Protocol

from packaging.requirements import Requirement

__all__ = ["Completed", "OptionalFile", "RunCommand", "SandboxLifecycle", "StrOrBytesPath"]

OptionalFile = int | IO[Any] | None
StrOrBytesPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Completed = subprocess.CompletedProcess[bytes] | subprocess.CompletedProcess[str]


class SandboxLifecycle(Protocol):
    """``setup_sandbox``, after fromager has prepared the source; ``teardown_sandbox``, in a ``finally``."""

    def __call__(self, *, ctx: Any, req: Requirement, sdist_root_dir: pathlib.Path) -> None: ...


class RunCommand(Protocol):
    """``run_sandboxed`` and ``run_unconfined``: a part of :func:`subprocess.run`. A code other than 0 is no error."""

    def __call__(
        self,
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
    ) -> Completed: ...
