"""A wheel factory that knows nothing but the plug-in interface that fromager's authors propose.

It does what their proposal says of fromager: one directory for each package and version, with the source tree, the
build environment, ``dist``, the log and the control directories of hooks in it; set-up before, and tear-down in a
``finally``.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Protocol

import pyproject_hooks
from packaging.requirements import Requirement

from isolated_hooks.frontends.fromager_plugin import RunCommand, SandboxLifecycle

from .projects import write_project

__all__ = ["Commands", "Factory", "plain_context"]

_SCRIPT = os.path.join(os.path.dirname(pyproject_hooks.__file__), "_in_process", "_in_process.py")
_BACKEND = ("_PYPROJECT_HOOKS_BUILD_BACKEND", "PEP517_BUILD_BACKEND")
_PATHS = ("_PYPROJECT_HOOKS_BACKEND_PATH", "PEP517_BACKEND_PATH")


class Commands(Protocol):
    """The four functions. A module has them."""

    @property
    def setup_sandbox(self) -> SandboxLifecycle: ...
    @property
    def teardown_sandbox(self) -> SandboxLifecycle: ...
    @property
    def run_sandboxed(self) -> RunCommand: ...
    @property
    def run_unconfined(self) -> RunCommand: ...


def plain_context(directory: pathlib.Path, *, network_isolation: bool = True) -> Any:
    """Return what the functions look at of a ``WorkContext``, without fromager."""
    filters = SimpleNamespace(keep_env=[], delete_env=[], DEFAULT_KEEP_ENV=())
    return SimpleNamespace(
        settings=SimpleNamespace(external_commands=filters), network_isolation=network_isolation, work_dir=directory
    )


class Factory:
    """Builds one package.

    :ivar tree: its source tree, a project of :func:`write_project`
    :ivar unit: the directory around it
    """

    def __init__(self, commands: Commands, ctx: Any, name: str = "example", *, extra: str = "") -> None:
        self.commands = commands
        self.unit = pathlib.Path(ctx.work_dir) / f"{name}-1.0"
        self.tree = write_project(self.unit / f"{name}-1.0", extra=extra)
        self.arguments: dict[str, Any] = {"ctx": ctx, "req": Requirement(name), "sdist_root_dir": self.tree}
        self.dist = self.unit / "dist"
        self.dist.mkdir()

    def run(self, *args: Any, **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a command in the sandbox."""
        return self.commands.run_sandboxed(args, **self.arguments, **options)

    def shell(self, script: str, **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a shell script in the sandbox, with its output as text."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        return self.run("/bin/sh", "-c", script, **options)

    @contextmanager
    def set_up(self) -> Iterator[None]:
        """Set the sandbox up, and tear it down whatever happens, even if the set-up itself fails."""
        try:
            self.commands.setup_sandbox(**self.arguments)
            yield
        finally:
            self.commands.teardown_sandbox(**self.arguments)

    def environment(self) -> pathlib.Path:
        """Make the build environment, outside of the sandbox."""
        path = self.unit / f"build-{'.'.join(map(str, sys.version_info[:3]))}"
        made = self.commands.run_unconfined(
            [sys.executable, "-m", "venv", "--without-pip", path], **self.arguments, stdout=subprocess.DEVNULL
        )
        assert made.returncode == 0
        return path

    def hook(self, name: str, *, python: Any = sys.executable, **kwargs: Any) -> Any:
        """Call a hook as pyproject_hooks does, with a control directory in the unit. Return its code and its answer."""
        with tempfile.TemporaryDirectory(dir=self.unit) as control:
            with open(os.path.join(control, "input.json"), "w", encoding="utf-8") as file:
                json.dump({"kwargs": {"config_settings": None, **kwargs}}, file)
            done = self.commands.run_sandboxed(
                [python, _SCRIPT, name, control], **self.arguments, cwd=self.tree, env=self._variables()
            )
            if done.returncode:
                return done.returncode, None
            with open(os.path.join(control, "output.json"), encoding="utf-8") as file:
                return 0, json.load(file)["return_val"]

    def wheel(self, **options: Any) -> str:
        """Build the wheel into ``dist``."""
        code, name = self.hook("build_wheel", wheel_directory=str(self.dist), metadata_directory=None, **options)
        assert code == 0
        return str(name)

    def _variables(self) -> Mapping[str, str]:
        variables = {**os.environ, **dict.fromkeys(_BACKEND, "backend"), **dict.fromkeys(_PATHS, str(self.tree))}
        return {**variables, "_PYPROJECT_HOOKS_BACKEND_PATH_JSON": json.dumps([str(self.tree)])}
