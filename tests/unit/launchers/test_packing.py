"""The launcher in one file: it runs alone, from memory, and is the installed modules."""

from __future__ import annotations

import errno
import marshal
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isolated_hooks.launchers import native, packing
from isolated_hooks.launchers.native import Native
from isolated_hooks.plan import Plan
from isolated_hooks.sandbox import seccomp
from isolated_hooks.sandbox.numbers import MACHINES
from isolated_hooks.sandbox.syscalls import MACHINE


def run(file: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", "-S", os.fspath(file), *arguments]
    return subprocess.run(command, cwd="/", capture_output=True, check=False, timeout=60)


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    path = tmp_path / "launcher"
    path.write_bytes(packing.packed())
    return path


def test_it_runs_every_module_without_a_file_of_the_package(launcher: Path) -> None:
    done = run(launcher, "probe")
    assert (done.returncode, done.stderr) == (0, b"")
    assert marshal.loads(done.stdout)["mount namespace"]
    trace = subprocess.run(
        [sys.executable, "-I", "-S", "-v", os.fspath(launcher), "probe"], capture_output=True, check=True, cwd="/"
    ).stderr
    assert b"sandbox/__pycache__" not in trace


def test_the_exit_code_is_that_of_main(launcher: Path) -> None:
    done = run(launcher, "launch", "/nonexistent", "--")
    assert done.returncode == 1
    assert b"FileNotFoundError" in done.stderr
    # The trace names the lines of the installed files.
    assert os.fsencode(os.path.join("sandbox", "launch.py")) in done.stderr


def test_a_file_that_is_torn_runs_nothing(launcher: Path) -> None:
    launcher.write_bytes(packing.packed()[:100_000])
    assert run(launcher, "probe").returncode != 0
    launcher.write_bytes(b"\0\0\r\n" + packing.packed()[4:])  # of another version of Python
    assert run(launcher, "probe").returncode != 0


def test_it_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = packing.packed()
    monkeypatch.setattr(packing, "_module", lambda name: pytest.fail(name))
    assert packing.packed() is first


def test_where_there_is_no_room_the_installed_modules_run(tmp_path: Path, plan: Plan) -> None:
    command = Native().command(plan, os.fspath(tmp_path / "missing"), ())
    assert command[3].endswith(os.path.join("sandbox", "__main__.py"))
    assert command[4:] == ["launch", os.fspath(tmp_path / "missing"), "--"]


def test_half_a_file_is_removed(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> bytes:
        assert os.listdir(tmp_path) == ["launcher"]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(native, "packed", full)
    assert "launcher" not in Native().command(plan, os.fspath(tmp_path), ())[3:]
    assert os.listdir(tmp_path) == []


@pytest.fixture
def plan() -> Plan:
    """Stand for a plan: the native launcher takes the command from its arguments."""
    return None  # type: ignore[return-value]


def test_the_filters_in_it_are_those_that_the_modules_make(launcher: Path) -> None:
    made = dict(seccomp.usual_programs(MACHINE))
    assert len(made) == (4 if MACHINE in MACHINES else 0)
    for (kind, machine, on), program in made.items():
        options = {"watches": on} if kind == "shared" else {"brokered": on}
        assert getattr(seccomp, f"{kind}_program")(machine, **options) == program
    assert all(program in launcher.read_bytes() for program in made.values())
