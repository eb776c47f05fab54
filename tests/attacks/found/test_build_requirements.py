"""What a hostile build requirement has installed leads the sandbox to show nothing beyond the build environment.

pip, build and uv install build requirements before a hook starts, and put their programs first on ``PATH``. A wheel
chooses the text of its scripts, and may put a file anywhere in the prefix.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import venv
from pathlib import Path

import pytest
from support.attacks.place import quiet

from isolated_hooks import IsolatedHookCaller, Policy

pytestmark = pytest.mark.usefixtures("sandbox")

_BACKEND = """
import json

def get_requires_for_build_wheel(config_settings=None):
    found = {}
    for path in config_settings["paths"].split():
        try:
            found[path] = open(path).read()
        except OSError as error:
            found[path] = type(error).__name__
    with open("answer", "w") as file:
        json.dump(found, file)
    return []
"""
_SECRET = "hunter2-of-the-caller"


def _put(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(0o755)
    return path


def _binary(directory: Path) -> bytes:
    """Return a binary of ELF, elf(5), of which there is only what names a directory of libraries."""
    text = os.fsencode(directory) + b"\0"
    header = b"\x7fELF\x02\x01" + bytes(26) + struct.pack("<Q", 64) + bytes(14) + struct.pack("<HH", 56, 2) + bytes(4)
    tags = struct.pack("<QQQQ", 5, 256, 29, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, 512, 512, 4096)
    dynamic = struct.pack("<IIQQQQQQ", 2, 4, 192, 192, 192, len(tags), len(tags), 8)
    return (header + load + dynamic).ljust(192, b"\0") + tags.ljust(64, b"\0") + text.ljust(256, b"\0")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", os.fspath(home))
    return home


def _secrets(home: Path) -> list[Path]:
    files = ("letters/mother", "work/src/code", "notes", "tools/bin/deploy", "tools/lib/site", "venv/lib/private")
    return [_put(home / name, _SECRET) for name in files]


def _plant(bin_directory: Path, home: Path) -> None:
    """Put files where a wheel puts its scripts and its data, each of which names paths of the caller."""
    _put(bin_directory / "interpreter", f"#!{home}/notes\n")
    _put(bin_directory / "shell", f"#!/bin/sh\nexec {home}/tools/bin/deploy\n")
    for number, name in enumerate(("letters", "work/src", "work")):
        _put(bin_directory / f"binary{number}", _binary(home / name))
    _put(bin_directory.parent / "pyvenv.cfg", f"home = {home}/venv/bin\n")
    _put(home / "venv/bin/python", "")
    _put(home / "venv/lib/python3.11/os.py", "")


def _ask(tree: Path, paths: list[Path], policy: Policy | None = None, *, python: Path | None = None) -> dict[str, str]:
    _put(tree / "backend.py", _BACKEND)
    executable = os.fspath(python) if python else None
    hooks = IsolatedHookCaller(os.fspath(tree), "backend", ["."], quiet, executable, policy=policy)
    hooks.get_requires_for_build_wheel({"paths": " ".join(map(str, paths))})
    found: dict[str, str] = json.loads((tree / "answer").read_text())
    return found


def _started_with(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr("isolated_hooks.run.situation.started_with", lambda: dict(os.environ))


def test_programs_of_a_build_environment(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = _secrets(home)
    programs = tmp_path / "env/overlay/bin"
    _plant(programs, home)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")  # as pip does
    found = _ask(tmp_path / "tree", [*secrets, programs / "shell"])
    assert found.pop(str(programs / "shell")) != "FileNotFoundError"
    assert set(found.values()) == {"FileNotFoundError"}


@pytest.mark.parametrize("named", ["", "VIRTUAL_ENV", "CMAKE_PREFIX_PATH", "CC"])
@pytest.mark.parametrize("copies", [False, True])
def test_the_configuration_of_the_build_environment_itself(
    home: Path, tmp_path: Path, copies: bool, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel may overwrite pyvenv.cfg, and put another program in the place of the interpreter.

    A frontend may name the environment, or a program in it, in a variable.
    """
    secrets = [*_secrets(home)[-1:], _put(home / "venv/lib/python3.11/os.py", _SECRET)]
    base = os.path.realpath(sys.executable)
    env = tmp_path / "env"
    venv.EnvBuilder(symlinks=not copies).create(env)
    python = env / "bin/python"
    text = (env / "pyvenv.cfg").read_text()
    _put(env / "pyvenv.cfg", f"home = {home}/venv/bin\n" + (f"# {text}" if copies else ""))
    _put(home / "venv/bin/python", "")
    if copies:
        # Another file than a link, which still runs the hook, so that it can look.
        _put(python, f'#!/bin/sh\nexec {base} "$@"\n')
    if named:
        monkeypatch.setenv(named, os.fspath(_put(env / "bin/cc", "") if named == "CC" else env))
        monkeypatch.setenv("PATH", f"{env}/bin:{os.environ['PATH']}")
    found = _ask(tmp_path / "tree", [*secrets, env / "pyvenv.cfg"], python=python)
    assert f"{home}/venv" in found.pop(str(env / "pyvenv.cfg"))
    assert set(found.values()) == {"FileNotFoundError"}


@pytest.mark.parametrize("writable", ["cache", "link/cache"])
@pytest.mark.parametrize("named", ["cache", "link/cache"])
@pytest.mark.filterwarnings("ignore::isolated_hooks.WritablePathWarning")
def test_programs_in_a_writable_path(
    writable: str, named: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = _secrets(home)
    _plant(tmp_path / "cache/bin", home)
    (tmp_path / "link").symlink_to(".")
    _started_with(monkeypatch, f"{os.environ['PATH']}:{tmp_path / named}/bin")
    found = _ask(tmp_path / "tree", secrets, Policy(writable=(os.fspath(tmp_path / writable),)))
    assert set(found.values()) == {"FileNotFoundError"}


def test_the_callers_own_programs_do_lead_there(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = _secrets(home)
    _plant(home / ".local/bin", home)
    _started_with(monkeypatch, f"{os.environ['PATH']}:{home}/.local/bin")
    assert _SECRET in _ask(tmp_path / "tree", secrets).values()
