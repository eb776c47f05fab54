"""Modules and programs that a source tree or a build environment plants never run outside the sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.attacks.place import Place, quiet

from isolated_hooks import IsolatedHookCaller

pytestmark = pytest.mark.usefixtures("sandbox")

# Modules that the launcher or Python itself imports, and that a backend does not need.
_TRAPS = ("sandbox", "isolated_hooks", "ctypes", "select", "resource", "fcntl", "sitecustomize", "usercustomize")
_TRAP = """
try:
    with open({marker!r}, "a") as file:
        file.write(__name__ + " ")
except OSError:
    pass
"""
_BACKEND = "def get_requires_for_build_wheel(config_settings=None):\n    return []\n"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that every trap writes to. No hook can write there."""
    return tmp_path / "marker"


@pytest.fixture
def trapped(tmp_path: Path, marker: Path) -> Path:
    """A source tree with traps at its root, and a harmless backend in a directory."""
    tree = tmp_path / "trapped"
    (tree / "backend").mkdir(parents=True)
    (tree / "backend" / "harmless.py").write_text(_BACKEND)
    for name in _TRAPS:
        (tree / f"{name}.py").write_text(_TRAP.format(marker=str(marker)))
    return tree


def _call(make: Callable[..., Any], tree: Path, python: Path | str, runner: Any = quiet) -> None:
    assert make(str(tree), "harmless", ["backend"], runner, str(python)).get_requires_for_build_wheel() == []


def test_modules_in_the_working_directory(trapped: Path, marker: Path, place: Place) -> None:
    """B01: the launcher starts in the source tree and imports nothing from it."""
    _call(IsolatedHookCaller, trapped, place.python)
    assert not marker.exists()
    subprocess.run([sys.executable, "-c", "import sandbox, ctypes"], cwd=trapped, check=True)
    assert marker.read_text() == "sandbox ctypes "


def test_modules_by_the_environment(trapped: Path, marker: Path, place: Place) -> None:
    """B05: a PYTHONPATH that the frontend's runner sets reaches the hook, not the launcher."""

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        quiet(cmd, cwd, {**(extra_environ or {}), "PYTHONPATH": str(trapped)})

    _call(IsolatedHookCaller, trapped, place.python, runner)
    assert not marker.exists()
    _call(pyproject_hooks.BuildBackendHookCaller, trapped, place.python, runner)
    assert "sitecustomize" in marker.read_text()


def test_path_files_of_the_build_environment(trapped: Path, marker: Path, place: Place) -> None:
    """C01: a .pth file runs whenever the build environment's Python starts, so that Python starts only inside."""
    (site,) = (place.base / "env").glob("lib/*/site-packages")
    (site / "trap.pth").write_text(f"import sys; sys.path.append({str(trapped)!r})\nimport sandbox\n")
    _call(IsolatedHookCaller, trapped, place.python)
    assert not marker.exists()
    _call(pyproject_hooks.BuildBackendHookCaller, trapped, place.python)
    assert "sandbox" in marker.read_text()


def test_programs_in_the_search_path(trapped: Path, marker: Path, place: Place) -> None:
    """B06: the launcher starts no program of the source tree, even if PATH names the tree."""
    for name in ("python", "python3", os.path.basename(sys.executable)):
        program = trapped / name
        program.write_text(f"#!/bin/sh\necho {name} >> '{marker}'\n")
        program.chmod(0o755)

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        quiet(cmd, cwd, {**(extra_environ or {}), "PATH": f".:{trapped}:{os.environ.get('PATH', '')}"})

    _call(IsolatedHookCaller, trapped, place.python, runner)
    assert not marker.exists()
    subprocess.run(["python3"], cwd=trapped, env={"PATH": f".:{trapped}:/usr/bin:/bin"}, check=True)
    assert marker.read_text() == "python3\n"
