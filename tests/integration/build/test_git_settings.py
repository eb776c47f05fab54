"""git says the same of a tree inside as outside, whatever its caller has configured."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.projects import caller, facts, plain_caller, write_project

from isolated_hooks import IsolatedRunner

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
]

ASKS = """
def asked(*words):
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout

tell(describe=asked("describe", "--dirty", "--tags"), status=asked("status", "--porcelain"), log=asked("log", "-1"),
     branch=asked("config", "init.defaultBranch"), helper=asked("config", "--get-all", "credential.helper"))
"""
CONFIGURATION = """
[user]
    name = Me
    email = me@example.org
[core]
    autocrlf = true
    excludesFile = ~/.ignored
[filter "up"]
    clean = tr a-z A-Z
    smudge = tr A-Z a-z
    required = true
[init]
    defaultBranch = trunk
[format]
    pretty = %an <%ae> %s
[credential]
    helper = store
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The caller's home, in which git is configured."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(CONFIGURATION)
    (home / ".ignored").write_text("*.log\n")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", os.fspath(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home


@pytest.fixture(params=[3600, 0], ids=["older than the index", "as young as the index"])
def project(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Path:
    """A repository whose files differ on disk from those in git, by rules that the caller alone has configured."""
    files = {".gitignore": "__pycache__\nfacts.jsonl\n", ".gitattributes": "*.up filter=up\n*.txt text\n"}
    root = write_project(tmp_path / "project", extra=ASKS, files={**files, "a.up": "text\n"})
    (root / "b.txt").write_bytes(b"line\r\n")
    (root / "c.log").write_bytes(b"ignored\n")
    for path in root.iterdir():
        os.utime(path, (path.stat().st_mtime - request.param,) * 2)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)
    return root


def test_git_says_the_same_inside(project: Path, tmp_path: Path) -> None:
    out = os.fspath(tmp_path / "out")
    os.mkdir(out)  # pyproject_hooks does not
    plain_caller(project).build_wheel(out)
    outside = facts(project)[0]
    caller(project).build_wheel(out)
    inside = facts(project)[0]
    assert (outside["describe"], outside["status"]) == ("v1\n", "")
    assert (outside["log"], outside["branch"]) == ("Me <me@example.org> one\n", "trunk\n")
    assert inside == {**outside, "helper": ""}
    assert outside["helper"] == "store\n"


def test_a_changed_file_is_seen_inside(project: Path, tmp_path: Path) -> None:
    (project / "a.up").write_text("more\n")
    caller(project).build_wheel(os.fspath(tmp_path / "out"))
    said = facts(project)[0]
    assert (said["describe"], said["status"]) == ("v1-dirty\n", " M a.up\n")


def test_a_hidden_filter_is_said(home: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = home / "tools" / "up"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\ntr a-z A-Z\n")
    program.chmod(0o755)
    (home / ".gitconfig").write_text(CONFIGURATION.replace("tr a-z A-Z", os.fspath(program)))
    runner = IsolatedRunner()
    caller(project, runner=runner).build_wheel(os.fspath(tmp_path / "out"))
    (note,) = runner.reports[0].notes
    assert "'up'" in note
    assert f"--expose {program}" in note
