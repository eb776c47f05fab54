"""A build finds the repository that its tree is a part of, as it does outside: the same version, the same files."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.lanes import first_fast
from support.projects import caller, facts, plain_caller, write_project

from isolated_hooks import IsolatedRunner, Policy

pytestmark = [
    pytest.mark.usefixtures("sandbox", "own_home"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
]

ASKS = """
def asked(*words):
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return [done.returncode, done.stdout]

def read(path):
    try:
        return open(os.path.join(HERE, path)).read()
    except OSError as error:
        return type(error).__name__

tell(describe=asked("describe", "--dirty", "--tags"), status=asked("status", "--porcelain"),
     top=asked("rev-parse", "--show-toplevel"), readme=read("../README.md"), shared=read("shared.py"))
"""


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of git but the tests' own."""
    (tmp_path / "home").mkdir()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "home"))
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")


def git(directory: Path, *words: str) -> None:
    allowed = ("-c", "protocol.file.allow=always")
    subprocess.run(["git", *allowed, *words], cwd=directory, check=True, capture_output=True)


def monorepo(top: Path) -> Path:
    """Make a repository with a project in a directory of it, and return that directory."""
    project = write_project(top / "py", extra=ASKS)
    files = {"README.md": "Read me.\n", "shared.py": "SHARED = 1\n", "rust/lib.rs": "// lib\n"}
    for name, text in {**files, ".gitignore": "__pycache__\nfacts.jsonl\n"}.items():
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text(text)
    (project / "shared.py").symlink_to("../shared.py")
    git(top, "init", "-q")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "one")
    git(top, "tag", "v1")
    return project


def worktree(top: Path) -> Path:
    monorepo(top.parent / "main")
    git(top.parent / "main", "worktree", "add", "-q", os.fspath(top), "v1")
    return top / "py"


def submodule(top: Path) -> Path:
    monorepo(top.parent / "library")
    top.mkdir()
    git(top, "init", "-q")
    git(top, "submodule", "--quiet", "add", os.fspath(top.parent / "library"), "third/library")
    git(top / "third/library", "fetch", "-q", "--tags")
    return top / "third/library/py"


def version_4(top: Path) -> Path:
    project = monorepo(top)
    git(top, "update-index", "--index-version", "4")
    return project


PLACES = [monorepo, worktree, submodule, version_4]


@pytest.mark.parametrize("place", PLACES)
def test_the_build_finds_its_repository(place: Callable[[Path], Path], tmp_path: Path) -> None:
    project, out = place(tmp_path / "top"), tmp_path / "out"
    out.mkdir()
    outside = _asked(plain_caller(project), project, out)
    assert outside["describe"] == [0, "v1\n"]
    assert outside["readme"] == "Read me.\n"
    assert _asked(caller(project), project, out) == outside


_ALONE = """
done = subprocess.run(["env", "-u", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "git", "ls-files", "--full-name"],
                      capture_output=True, text=True, check=False)
tell(files=[done.returncode, done.stdout], beside=sorted(os.listdir(os.path.join(HERE, ".."))))
"""


@pytest.mark.parametrize("depth", ["py", "packages/py"])
def test_a_program_that_hides_the_variables_of_git_finds_its_repository_too(depth: str, tmp_path: Path) -> None:
    """setuptools-scm does, and a wheel without the files that git lists would be another one."""
    top, out = tmp_path / "top", tmp_path / "out"
    project = write_project(top / depth, extra=_ALONE)
    (top / "beside").mkdir()
    (top / "beside/file").touch()
    git(top, "init", "-q")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "one")
    out.mkdir()
    outside = _told(plain_caller(project), project, out)
    assert outside["files"][0] == 0
    assert f"{depth}/pyproject.toml" in outside["files"][1]
    assert _told(caller(project), project, out) == outside


_WRITES = """
try:
    fd = os.open(os.path.join(HERE, {fifo!r}), os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, b"from a hook")
except OSError:
    pass
"""


@pytest.mark.parametrize("fifo", ["../fifo", "../beside/fifo"])
@pytest.mark.parametrize("plain", [True, False], ids=["open", "held"])
def test_no_hook_writes_to_a_fifo_beside_the_tree(fifo: str, plain: bool, tmp_path: Path) -> None:
    """Beneath a directory in which hooks may write, such as /tmp, Landlock does not keep them from it."""
    top, out = tmp_path / "top", tmp_path / "out"
    project = write_project(top / "py", extra=_WRITES.format(fifo=fifo))
    (top / "beside").mkdir()
    git(top, "init", "-q")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "one")
    out.mkdir()
    os.mkfifo(project / fifo)
    os.chmod(project / fifo, 0o666)
    reader = os.open(project / fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        (plain_caller if plain else caller)(project).build_wheel(os.fspath(out))
        with contextlib.suppress(BlockingIOError):
            assert (os.read(reader, 100) != b"") == plain
    finally:
        os.close(reader)


def test_what_comes_and_goes_beside_the_tree_fails_no_hook(tmp_path: Path) -> None:
    project, out = monorepo(tmp_path / "top"), tmp_path / "out"
    out.mkdir()
    is_over = threading.Event()

    def churn() -> None:
        while not is_over.is_set():
            for number in range(30):
                (tmp_path / f"top/new{number}").mkdir()
            for number in range(30):
                (tmp_path / f"top/new{number}").rmdir()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        hooks = caller(project)
        for _ in range(4):
            hooks.get_requires_for_build_wheel()
    finally:
        is_over.set()
        thread.join()


def _told(hooks: Any, project: Path, out: Path) -> dict[str, Any]:
    (project / "facts.jsonl").unlink(missing_ok=True)
    hooks.build_wheel(os.fspath(out))
    told = {name: value for fact in facts(project) for name, value in fact.items()}
    return {name: told[name] for name in ("files", "beside")}


def test_a_change_beside_the_tree_is_seen(tmp_path: Path) -> None:
    project, out = monorepo(tmp_path / "top"), tmp_path / "out"
    (tmp_path / "top/rust/lib.rs").write_text("// changed\n")
    out.mkdir()
    outside = _asked(plain_caller(project), project, out)
    assert outside["describe"] == [0, "v1-dirty\n"]
    assert _asked(caller(project), project, out) == outside


def test_the_tree_itself_may_be_a_worktree(tmp_path: Path) -> None:
    _one_project(tmp_path / "main")
    git(tmp_path / "main", "worktree", "add", "-q", os.fspath(tmp_path / "tree"), "v1")
    assert _asked(caller(tmp_path / "tree"), tmp_path / "tree", tmp_path / "out")["describe"] == [0, "v1\n"]


def _shared_clone(base: Path) -> Path:
    git(monorepo(base / "main"), "clone", "-q", "--shared", os.fspath(base / "main"), os.fspath(base / "tree"))
    return base / "tree/py"


def _one_project(top: Path, *words: str) -> Path:
    write_project(top, extra=ASKS)
    (top / ".gitignore").write_text("__pycache__\nfacts.jsonl\n")
    git(top, "init", "-q", *words)
    git(top, "add", "-A")
    git(top, "commit", "-qm", "one")
    git(top, "tag", "v1")
    return top


def _clone_of_a_shared_clone(base: Path) -> Path:
    git(_one_project(base / "main"), "clone", "-q", "--shared", os.fspath(base / "main"), os.fspath(base / "second"))
    git(base, "clone", "-q", "--shared", os.fspath(base / "second"), os.fspath(base / "tree"))
    return base / "tree"


def _separate_directory(base: Path) -> Path:
    return _one_project(base / "tree", "--separate-git-dir", os.fspath(base / "elsewhere"))


@pytest.mark.parametrize("place", first_fast([_shared_clone, _clone_of_a_shared_clone, _separate_directory]))
def test_a_repository_that_a_tree_merely_names_is_shown_by_the_line_of_the_note(
    place: Callable[[Path], Path], tmp_path: Path
) -> None:
    project, runner = place(tmp_path), IsolatedRunner()
    outside = _asked(plain_caller(project), project, tmp_path / "out")["describe"]
    assert outside[1].startswith("v1")
    assert _asked(caller(project, runner=runner), project, tmp_path / "out")["describe"][0] != 0
    (note,) = runner.reports[0].notes
    exposed = [word.rstrip(";") for word in note.split() if word.startswith("/")]
    followed = IsolatedRunner(policy=Policy(expose=tuple(exposed)))
    assert _asked(caller(project, runner=followed), project, tmp_path / "out")["describe"] == outside
    assert followed.reports[0].notes == ()


def test_the_policy_may_hide_it(tmp_path: Path) -> None:
    project = monorepo(tmp_path / "top")
    said = _asked(caller(project, policy=Policy(repository="hide")), project, tmp_path / "out")
    assert said["describe"][0] != 0
    assert said["shared"] == "FileNotFoundError"


def test_a_document_beside_the_tree_that_it_names_is_shown(tmp_path: Path) -> None:
    project = write_project(tmp_path / "top/py", extra=ASKS)
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + 'readme = "../README.md"\n[tool.x]\ndata = "../data.bin"\n')
    for name in ("README.md", "data.bin", "other"):
        (tmp_path / "top" / name).write_text(name)
    runner = IsolatedRunner()
    said = _asked(caller(project, runner=runner), project, tmp_path / "out")
    assert said["readme"] == "README.md"
    assert [note for note in runner.reports[0].notes if f"--expose {tmp_path}/top/data.bin" in note]


def _asked(hooks: Any, project: Path, out: Path) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    hooks.build_wheel(os.fspath(out))
    told = facts(project)[0]
    (project / "facts.jsonl").unlink(missing_ok=True)
    return told
