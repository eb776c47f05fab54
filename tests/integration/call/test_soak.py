"""Run many hooks in a row and at once, with the code of benchmarks/soak.py and smaller numbers.

``ISOLATED_HOOKS_SOAK=1000`` sets the number of calls in a row; the default is 200.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from support.projects import cannot_run
from support.repository import ROOT

from isolated_hooks import Policy

pytestmark = pytest.mark.usefixtures("sandbox")

_SCRIPT = ROOT / "benchmarks" / "soak.py"
_IN_A_ROW = int(os.environ.get("ISOLATED_HOOKS_SOAK", "200"))


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    """The script benchmarks/soak.py, as a module."""
    if not _SCRIPT.exists():
        cannot_run("benchmarks/ is missing: run these tests from a checkout")
    spec = importlib.util.spec_from_file_location("soak", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.mark.parametrize(("count", "at_once"), [(_IN_A_ROW, 1), (64, 32)], ids=["in-a-row", "at-once"])
def test_calls_leave_nothing(count: int, at_once: int, soak: ModuleType, temporary: Path, tmp_path: Path) -> None:
    """The number of descriptors, threads, processes, mounts, files and cgroups stays; memory grows by 8 MiB at most."""
    source = soak.make_source(tmp_path / "source")
    soak.soak(at_once, at_once, source, Policy())
    before = soak.used(temporary)
    soak.soak(count, at_once, source, Policy())
    after = soak.used(temporary)
    assert soak.differences(before, after) == {}
    assert after["resident KiB"] - before["resident KiB"] < 8 * 1024


def test_the_script_detects_leftovers(soak: ModuleType, temporary: Path) -> None:
    before = soak.used(temporary)
    held = open(temporary / "file", "w")  # noqa: SIM115
    with subprocess.Popen([sys.executable, "-c", "input()", str(temporary)], stdin=subprocess.PIPE):
        after = soak.used(temporary)
    held.close()
    assert set(soak.differences(before, after)) == {"children", "descriptors", "files", "processes"}
