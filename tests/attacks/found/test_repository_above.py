"""A hook that sees the repository around its tree changes nothing of it and finds no secret in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.attacks.place import quiet

from isolated_hooks import IsolatedHookCaller

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
]

_BACKEND = """
import json, os

def get_requires_for_build_wheel(config_settings=None):
    found = {}
    for path in config_settings["read"].split():
        try:
            found[path] = open(path).read()
        except OSError as error:
            found[path] = type(error).__name__
    for path in config_settings["write"].split():
        try:
            with open(path, "a") as file:
                file.write("planted")
            found[path] = "written"
        except OSError as error:
            found[path] = error.errno
    with open("answer", "w") as file:
        json.dump(found, file)
    return []
"""
_SECRET = "hunter2-of-the-caller"


def _git(directory: Path, *words: str) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"GIT_CONFIG_GLOBAL": "/dev/null"}
    person = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *person, *words], cwd=directory, env=environ, check=True, capture_output=True)


def _tree(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "backend.py").write_text(_BACKEND)
    return path


def _repository(top: Path, *, add: str = ".") -> Path:
    """Make a repository with a tree in it, and return the tree."""
    tree = _tree(top / "py")
    (top / ".npmrc").write_text("fund=false\n")
    (top / "web").mkdir()
    (top / "web/index.js").write_text("1\n")
    _git(top, "init", "-q")
    _git(top, "add", add)
    _git(top, "commit", "-qm", "one", "--allow-empty")
    return tree


def _ask(tree: Path, *, read: str = "", write: str = "") -> dict[str, Any]:
    hooks = IsolatedHookCaller(os.fspath(tree), "backend", ["."], quiet)
    hooks.get_requires_for_build_wheel({"read": read, "write": write})
    found: dict[str, Any] = json.loads((tree / "answer").read_text())
    return found


def test_nothing_of_it_can_be_written(tmp_path: Path) -> None:
    tree = _repository(tmp_path / "top")
    paths = "../.git/config ../.git/hooks/post-commit ../.git/HEAD ../web/index.js ../new ../.git/info/exclude"
    before = (tmp_path / "top/.git/config").read_text()
    assert set(_ask(tree, write=paths).values()) <= {13, 30}
    assert (tmp_path / "top/.git/config").read_text() == before
    assert not (tmp_path / "top/new").exists()


def test_its_secrets_are_not_shown(tmp_path: Path) -> None:
    top = tmp_path / "top"
    tree = _repository(top)
    url = f"https://me:{_SECRET}@example.org/x"
    _git(top, "remote", "add", "origin", url)
    (top / ".git/credentials").write_text(url)
    (top / ".env").write_text(_SECRET)
    (top / "web/.env").write_text(_SECRET)
    (top / "web/key").write_text(_SECRET)
    (top / "web/key").chmod(0o600)
    (top / "web/.aws").mkdir()
    (top / "web/.aws/credentials").write_text(_SECRET)
    _git(top, "init", "-q", "vendor/other")
    _git(top / "vendor/other", "remote", "add", "origin", url)
    secret = "../.git/credentials ../.env ../web/.env ../web/key ../web/.aws/credentials"
    configurations = "../.git/config ../vendor/other/.git/config"
    found = _ask(tree, read=f"{secret} {configurations} ../.npmrc ../web/index.js")
    assert _SECRET not in json.dumps(found)
    assert "example.org" in found["../.git/config"]
    # What the repository holds is no secret of it: git would take another content for a change.
    assert (found["../.npmrc"], found["../web/index.js"]) == ("fund=false\n", "1\n")


@pytest.mark.parametrize("why", ["untracked", "home", "forged", "forged above", "link"])
def test_a_repository_that_does_not_name_the_tree_is_not_shown(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top, private = tmp_path / "top", tmp_path / "private"
    _repository(private)
    (private / "py/secret").write_text(_SECRET)
    if why == "home":
        tree = _repository(top)
        monkeypatch.setenv("HOME", os.fspath(top / "web"))
    elif why == "untracked":
        tree = _repository(top, add="web")
    else:
        tree = _tree(top / "py")
        dot_git = (top if why == "forged above" else tree) / ".git"
        if why == "link":
            (top / ".git").symlink_to(private / ".git")
        else:
            dot_git.write_text(f"gitdir: {private}/.git\n")
    paths = f"{private}/py/secret {private}/.git/HEAD {top}/.git/HEAD {top}/web/index.js"
    assert set(_ask(tree, read=paths).values()) <= {"FileNotFoundError", "NotADirectoryError"}
