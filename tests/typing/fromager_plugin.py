"""The plug-in for fromager as its type checker will see it. ``mypy --strict`` reads this file, and nothing runs it.

``WorkContext`` stands for fromager's; :mod:`fromager_context`, which the test writes, has the real one or a stand-in.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing
from collections.abc import Mapping, Sequence

from fromager_context import WorkContext
from packaging.requirements import Requirement

from isolated_hooks.frontends import fromager_plugin as plugin

File = int | typing.IO[typing.Any] | None
Argument = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class Lifecycle(typing.Protocol):
    """As in the proposal."""

    def __call__(self, *, ctx: WorkContext, req: Requirement, sdist_root_dir: pathlib.Path) -> None: ...


class Command(typing.Protocol):
    """As in the proposal."""

    def __call__(
        self,
        args: Sequence[Argument],
        *,
        ctx: WorkContext,
        req: Requirement,
        sdist_root_dir: pathlib.Path,
        stdin: File = None,
        stdout: File = None,
        stderr: File = None,
        cwd: Argument | None = None,
        timeout: float | None = None,
        text: bool | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes] | subprocess.CompletedProcess[str]: ...


class Hooks(typing.Protocol):
    """As ``external_commands`` will hold them, and as a module has them."""

    @property
    def setup_sandbox(self) -> Lifecycle: ...
    @property
    def teardown_sandbox(self) -> Lifecycle: ...
    @property
    def run_sandboxed(self) -> Command: ...
    @property
    def run_unconfined(self) -> Command: ...


# Ours stand for theirs, and theirs for ours.
lifecycles: list[Lifecycle] = [plugin.setup_sandbox, plugin.teardown_sandbox]
commands: list[Command] = [plugin.run_sandboxed, plugin.run_unconfined]
ours: list[plugin.SandboxLifecycle] = [plugin.setup_sandbox, plugin.teardown_sandbox, *lifecycles]
runners: list[plugin.RunCommand] = [plugin.run_sandboxed, plugin.run_unconfined, *commands]
hooks: Hooks = plugin


def use(ctx: WorkContext, tree: pathlib.Path) -> int:
    req = Requirement("example")
    plugin.setup_sandbox(ctx=ctx, req=req, sdist_root_dir=tree)
    done = plugin.run_sandboxed([b"echo", tree, "x"], ctx=ctx, req=req, sdist_root_dir=tree, cwd=b"/", text=True)
    plugin.setup_sandbox(ctx, req, tree)  # type: ignore[call-arg]
    plugin.run_sandboxed(["echo"], ctx=ctx, req=req, sdist_root_dir=tree, check=True)  # type: ignore[call-arg]
    plugin.run_unconfined(["echo"], ctx=ctx, req=req, sdist_root_dir=tree, env={"A": 1})  # type: ignore[dict-item]
    lifecycle: Lifecycle = plugin.run_sandboxed  # type: ignore[assignment]
    command: Command = plugin.setup_sandbox  # type: ignore[assignment]
    del lifecycle, command
    return done.returncode
