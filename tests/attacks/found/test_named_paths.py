"""What PATH and build variables lead to shows no home, no secret place and no other project, and is read-only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.attacks.place import quiet

from isolated_hooks import IsolatedHookCaller

pytestmark = pytest.mark.usefixtures("sandbox")

_BACKEND = """
import json, os

def get_requires_for_build_wheel(config_settings=None):
    found = {}
    for path in config_settings["paths"].split():
        try:
            with open(path) as file:
                found[path] = file.read()
            with open(path, "a") as file:
                found[path] = "writable"
        except OSError as error:
            found.setdefault(path, type(error).__name__)
    with open("answer", "w") as file:
        json.dump(found, file)
    return []
"""
_SECRET = "hunter2-of-the-caller"


def _put(path: Path, text: str = _SECRET) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def _ask(tree: Path, paths: list[Path]) -> dict[str, Any]:
    _put(tree / "backend.py", _BACKEND)
    hooks = IsolatedHookCaller(os.fspath(tree), "backend", ["."], quiet)
    hooks.get_requires_for_build_wheel({"paths": " ".join(map(str, paths))})
    found: dict[str, Any] = json.loads((tree / "answer").read_text())
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", os.fspath(home))
    return home


def test_variables_lead_to_no_secret(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [
        _put(home / "notes"),
        _put(home / ".ssh/include/key"),
        _put(home / "project/.env"),
        _put(home / "project/src/code"),
        _put(home / "tools/.netrc"),
        _put(home / "tools/etc/pip.conf"),
    ]
    _put(home / "tools/include/a.h", "")
    _put(home / "project/include/a.h", "")
    named = (home, home / ".ssh/include", home / "project", home / "tools", "/", tmp_path)
    monkeypatch.setenv("CFLAGS", " ".join(f"-I{path}" for path in named))
    monkeypatch.setenv("CMAKE_PREFIX_PATH", ":".join(map(str, named)))
    monkeypatch.setenv("PKG_CONFIG_PATH", f"{home}/tools/include")
    found = _ask(tmp_path / "tree", secrets)
    assert set(found.values()) == {"FileNotFoundError"}


def test_links_and_scripts_on_the_path_lead_to_no_secret(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = [_put(home / ".ssh/bin/key"), _put(home / ".aws/credentials"), _put(home / "lib/note")]
    (home / ".local/bin").mkdir(parents=True)
    for number, secret in enumerate(secrets[:2]):
        (home / f".local/bin/link{number}").symlink_to(secret)
    (home / ".local/bin/all").symlink_to(home)
    _put(home / ".local/bin/script", f"#!{home}/.ssh/bin/key\n")
    _put(home / "bin/tool", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{home}/.local/bin:{home}/bin:{os.defpath}")
    monkeypatch.setattr("isolated_hooks.run.situation.started_with", lambda: dict(os.environ))
    assert set(_ask(tmp_path / "tree", secrets).values()) == {"FileNotFoundError"}


def test_what_they_lead_to_is_read_only(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = _put(home / "deps/include/a.h", "header")
    monkeypatch.setenv("CFLAGS", f"-I{header.parent}")
    assert _ask(tmp_path / "tree", [header]) == {str(header): "header"}
