"""A later git command outside, in any directory of the tree, runs nothing that a hook has planted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.attacks.place import quiet
from support.lanes import first_fast

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.files.repositories import MOST_DIRECTORIES

GIT = shutil.which("git") or "git"
pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
    pytest.mark.filterwarnings("ignore:a repository of git"),
]

_BACKEND = """
import os, subprocess

def attempt(do, *arguments):
    try:
        do(*arguments)
    except OSError as error:
        open("refused", "a").write(f"{do.__name__} {error.errno}\\n")

def git(*arguments):
    return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()

def plant(config):
    with open(config, "a") as file:
        file.write(f"[core]\\n\\tfsmonitor = touch {os.path.abspath('ran')}; false\\n")

def get_requires_for_build_wheel(config_settings=None):
    exec(config_settings["code"], globals())
    return []
"""


def _outside(*arguments: str, cwd: Path) -> str:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environ |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a"}
    environ |= {"GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    argv = [GIT, "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout


def _repository(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    _outside("init", "-q", cwd=path)
    (path / "file").write_text("text")
    _outside("add", ".", cwd=path)
    _outside("commit", "-q", "-m", "one", cwd=path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    (path / "tiny.py").write_text(_BACKEND)
    return path


def _hook(tree: Path, code: str, policy: Policy | None = None) -> IsolatedHookCaller:
    hooks = IsolatedHookCaller(str(tree), "tiny", ["."], quiet, policy=policy)
    hooks.get_requires_for_build_wheel({"code": code})
    return hooks


def _nothing_runs(tree: Path) -> None:
    for directory in (tree, *(Path(top) for top, _, _ in os.walk(tree))):
        _outside("status", cwd=directory)
    assert not (tree / "ran").exists()


_INIT = 'git("init", "-q", "{0}"); plant("{0}/.git/config")'
_PLANTS = {
    "top": _INIT.format("."),
    "nested": 'os.makedirs("a/b"); ' + _INIT.format("a/b"),
    "file": 'git("init", "-q", "a"); plant("a/.git/config"); os.rename("a/.git", "b"); '
    'open(".git", "w").write("gitdir: b\\n")',
    "link": 'git("init", "-q", "a"); plant("a/.git/config"); os.rename("a/.git", "b"); os.symlink("b", ".git")',
    "bare": 'git("init", "-q", "--bare", "a"); plant("a/config"); git("-C", "a", "config", "core.bare", "false"); '
    'git("-C", "a", "config", "core.worktree", os.path.abspath("."))',
    "bare-top": 'git("init", "-q", "--bare", "a"); [os.rename("a/" + n, n) for n in os.listdir("a")]; '
    'plant("config"); git("config", "-f", "config", "core.bare", "false"); '
    'git("config", "-f", "config", "core.worktree", os.path.abspath("."))',
    # A bare repository whose configuration is elsewhere: git obeys aliases and programs in it, if no working tree.
    "common": 'git("init", "-q", "--bare", "a"); plant("a/config"); os.mkdir("b"); os.rename("a/HEAD", "b/HEAD"); '
    'open("b/commondir", "w").write("../a\\n")',
    "closed": 'os.makedirs("a/b"); ' + _INIT.format("a/b") + '; os.chmod("a/b", 0o311); os.chmod("a", 0o555)',
}


@pytest.mark.parametrize("plant", _PLANTS)
def test_a_repository_that_a_hook_has_made_is_set_aside(plant: str, tree: Path) -> None:
    hooks = _hook(tree, _PLANTS[plant])
    assert len(hooks.reports[-1].set_aside) >= 1
    for directory in (tree / "a", tree / "a/b"):
        if directory.exists():
            directory.chmod(0o755)
    _nothing_runs(tree)


@pytest.mark.parametrize("plant", ["top", "nested", "bare-top", "link"])
def test_without_the_sandbox_it_would_run(plant: str, tree: Path) -> None:
    """The control of the test above."""
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    subprocess.run(["python3", "-c", _BACKEND + _PLANTS[plant]], cwd=tree, check=True, env=environ)
    for top, _, _ in os.walk(tree):
        _outside("status", cwd=Path(top))
    assert (tree / "ran").exists()


@pytest.mark.slow
def test_a_repository_beneath_many_new_directories_is_found(tree: Path) -> None:
    many = f'[os.makedirs(f"{{n:04}}/x") for n in range({MOST_DIRECTORIES * 2})]; '
    _hook(tree, many + _INIT.format("0500/x"))
    _nothing_runs(tree)


def test_a_failing_hook_leaves_no_repository(tree: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _hook(tree, _INIT.format(".") + "; raise ValueError")
    _nothing_runs(tree)


_NESTED_ATTACK = """
for path in ("{0}/config", "{0}/hooks/x", "{0}"):
    attempt(open, path, "a")
attempt(os.rename, "{0}", "moved")
attempt(os.rename, "{0}/..", "moved")
os.mkdir("fresh")
attempt(os.rename, "fresh", "{0}")
"""


def _clone(tree: Path, tmp_path: Path) -> str:
    """A clone inside the tree, as a vendored project."""
    origin = _repository(tmp_path / "origin")
    _outside("clone", "-q", str(origin), str(tree / "vendor/part"), cwd=tmp_path)
    return "vendor/part/.git"


def _submodule(tree: Path, tmp_path: Path) -> str:
    origin = _repository(tmp_path / "origin")
    _repository(tree)
    _outside("submodule", "-q", "add", str(origin), "vendor/part", cwd=tree)
    return "vendor/part/.git"


def _deep_submodule(tree: Path, tmp_path: Path) -> str:
    """A submodule that no search near the top would find."""
    for number in range(MOST_DIRECTORIES + 10):
        (tree / f"{number:04}").mkdir()
    origin = _repository(tmp_path / "origin")
    _repository(tree)
    _outside("submodule", "-q", "add", str(origin), "vendor/deep/part", cwd=tree)
    return "vendor/deep/part/.git"


@pytest.mark.parametrize("make", first_fast([_clone, _submodule, _deep_submodule]))
def test_a_nested_repository_stays_as_it_is(make: Callable[[Path, Path], str], tree: Path, tmp_path: Path) -> None:
    dot_git = make(tree, tmp_path)
    before = os.lstat(tree / dot_git)
    _hook(tree, _NESTED_ATTACK.format(dot_git) + 'open("head", "w").write(git("-C", "vendor", "rev-parse", "HEAD"))')
    assert os.path.samestat(before, os.lstat(tree / dot_git))
    # All of them but the last, whose error depends on the kind of the repository.
    assert len((tree / "refused").read_text().splitlines()) >= 5
    _nothing_runs(tree)
    where = (tree / dot_git).parent
    assert _outside("rev-parse", "HEAD", cwd=where) == _outside("rev-parse", "HEAD", cwd=tmp_path / "origin")


def test_a_link_to_a_repository_can_be_used_and_not_replaced(tree: Path, launcher: str) -> None:
    _repository(tree)
    (tree / ".git").rename(tree / "real")
    (tree / ".git").symlink_to("real")
    code = """
open("head", "w").write(git("rev-parse", "HEAD"))
attempt(os.unlink, ".git")
attempt(os.rename, ".git", "other")
os.mkdir("fresh")
attempt(os.replace, "fresh", ".git")
attempt(open, "real/config", "a")
attempt(os.rename, "real", "other")
"""
    hooks = _hook(tree, code, Policy(launcher=launcher))
    assert os.readlink(tree / ".git") == "real"
    assert (tree / "head").read_text() == _outside("rev-parse", "HEAD", cwd=tree).strip() != ""
    refused = (tree / "refused").read_text().splitlines()
    if launcher == "native":
        assert len(refused) == 5
        assert hooks.reports[-1].set_aside == ()
    else:  # bwrap mounts nothing over a link, so the frontend makes the link again
        assert len(refused) >= 2
        assert hooks.reports[-1].set_aside == (f"{tree}/.git",)


def test_what_the_configuration_leads_to_stays_as_it_is(tree: Path) -> None:
    _repository(tree)
    (tree / ".githooks").mkdir()
    (tree / "shared.config").write_text("[core]\n")
    _outside("config", "core.hooksPath", ".githooks", cwd=tree)
    _outside("config", "include.path", "../shared.config", cwd=tree)
    _hook(tree, 'attempt(open, ".githooks/pre-commit", "w"); attempt(plant, "shared.config")')
    assert len((tree / "refused").read_text().splitlines()) == 2
    _nothing_runs(tree)


@pytest.mark.parametrize("source", ["read-write", "read-only"])
def test_no_token_in_a_configuration_is_shown(source: Any, tree: Path, tmp_path: Path) -> None:
    token = "gh" + "p_0123456789abcdefABCDEF0123456789abcd"
    _repository(tree)
    for key, value in {
        "remote.origin.url": f"https://x-access-token:{token}@example.org/a",
        "http.https://example.org/.extraheader": "AUTHORIZATION: basic hunter2",
        "core.ignorecase": "false",
    }.items():
        _outside("config", key, value, cwd=tree)
    (tree / ".git/credentials").write_text("https://u:hunter2@example.org\n")
    before = (tree / ".git/config").read_text()
    out = tmp_path / "out"
    out.mkdir()
    code = f"""
seen = open(".git/config").read() + open(".git/credentials").read() + git("config", "--list")
seen += "HEAD=" + git("rev-parse", "HEAD")
open({str(out / "seen")!r}, "w").write(seen)
try:
    open(".git/config", "a")
except OSError:
    pass
"""
    _hook(tree, code, Policy(source=source, writable=[out]))
    seen = (out / "seen").read_text()
    assert token not in seen
    assert "hunter2" not in seen
    assert "url = https://example.org/a" in seen
    assert "core.ignorecase=false" in seen
    assert f"HEAD={_outside('rev-parse', 'HEAD', cwd=tree).strip()}" in seen
    assert (tree / ".git/config").read_text() == before
