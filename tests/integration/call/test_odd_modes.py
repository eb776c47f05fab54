"""Builds work with unusual modes and owners, and the caller owns the files that they write."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.index import write_wheel
from support.lanes import fast, first_fast
from support.projects import (
    CLI,
    WHEEL,
    caller,
    cannot_run,
    command,
    facts,
    nothing_left,
    plain_caller,
    run_text,
    write_project,
)
from support.repository import TESTS

from isolated_hooks import Policy

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture(params=[0o077, 0o002, 0o022], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


WRITES = """
os.makedirs("made/deep", exist_ok=True)
open("made/deep/file", "w").close()
umask = os.umask(0)
os.umask(umask)
tell(umask=umask)
"""


def test_the_umask_is_the_callers(umask: int, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=WRITES)
    caller(project).build_wheel(os.fspath(tmp_path / "out"))
    assert facts(project)[0] == {"umask": umask}
    made = {path: stat.S_IMODE(path.stat().st_mode) for path in (project / "made").rglob("*")}
    assert made == {
        project / "made" / "deep": 0o777 & ~umask,
        project / "made" / "deep" / "file": 0o666 & ~umask,
    }
    assert stat.S_IMODE((tmp_path / "out" / WHEEL).stat().st_mode) & 0o700 == 0o600
    plain = tmp_path / "plain"
    plain.mkdir()
    plain_caller(project).build_wheel(os.fspath(plain))
    assert (tmp_path / "out" / WHEEL).stat().st_mode == (plain / WHEEL).stat().st_mode


def test_the_caller_owns_the_files_that_a_hook_writes(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=WRITES)
    caller(project).build_wheel(os.fspath(tmp_path / "new" / "out"))
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in tmp_path.rglob("*")}
    assert owners == {(os.geteuid(), os.getegid())}


def test_a_parent_with_the_set_group_id_bit(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    groups = [group for group in os.getgroups() if group != os.getegid()]
    if os.geteuid() == 0:
        groups = [12345]
    if groups:
        os.chown(shared, -1, groups[0])
    shared.chmod(0o2775)
    project = write_project(shared / "project", extra=WRITES)
    expected = (shared / "project" / "pyproject.toml").stat().st_gid
    assert caller(project).build_wheel(os.fspath(project / "dist")) == WHEEL
    caller(project).build_sdist(os.fspath(shared / "out"))
    for path in (project / "made" / "deep" / "file", project / "dist" / WHEEL):
        assert (path.stat().st_uid, path.stat().st_gid) == (os.geteuid(), expected), path
    assert stat.S_IMODE((project / "dist" / WHEEL).stat().st_mode) & 0o6000 == 0


def test_a_private_source_tree(tmp_path: Path) -> None:
    private = tmp_path / "private"
    project = write_project(private / "project")
    for path in (private, project):
        path.chmod(0o700)
    (project / "backend.py").chmod(0o600)
    assert caller(project).build_wheel(os.fspath(private / "out")) == WHEEL
    assert stat.S_IMODE(private.stat().st_mode) == stat.S_IMODE(project.stat().st_mode) == 0o700


# A frontend in its own process, which inherits PATH.
FRONTEND = """
import sys
from isolated_hooks import IsolatedHookCaller
project, python, out = sys.argv[1:]
print(IsolatedHookCaller(project, "backend", ["."], python_executable=python).build_wheel(out))
"""


@pytest.mark.parametrize("activated", ["by the user", "by the frontend", "not at all"])
def test_a_private_build_environment(activated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hardened host's umask makes it private. If the frontend is root, the hook still runs as another user."""
    environment = tmp_path / "env"
    before = os.umask(0o077)
    try:
        venv.EnvBuilder(symlinks=True, with_pip=False).create(environment)
        site = next(environment.glob("lib/python*/site-packages"))
        (site / "needed.py").write_text("")
        project = write_project(tmp_path / "project", extra="import needed")
    finally:
        os.umask(before)
    assert stat.S_IMODE((site / "needed.py").stat().st_mode) == 0o600
    python, out = os.fspath(environment / "bin" / "python"), os.fspath(tmp_path / "out")
    path = f"{environment / 'bin'}:{os.environ['PATH']}"
    if activated == "by the user":
        done = run_text([sys.executable, "-c", FRONTEND, project, python, out], environ={"PATH": path})
        assert done.stdout == f"{WHEEL}\n", done.stderr
        return
    if activated == "by the frontend":
        monkeypatch.setenv("PATH", path)
    assert caller(project, python_executable=python).build_wheel(out) == WHEEL


@pytest.mark.parametrize(
    "umask", fast([0o077, 0o002, 0o022], [], slow=[0o077]), indirect=True, ids=[oct(n) for n in (0o077, 0o002, 0o022)]
)
def test_pip_makes_a_private_build_environment(umask: int, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    write_wheel(links, "needed")
    pyproject = """[build-system]\nrequires = ["needed"]\nbuild-backend = "backend"\nbackend-path = ["."]\n"""
    files, without = {"pyproject.toml": pyproject}, ["get_requires_for_build_wheel"]
    project = write_project(tmp_path / "project", extra="import needed", files=files, without=without)
    done = command("pip", "wheel", "--no-index", "--find-links", links, "-w", tmp_path / "out", project)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]


def test_a_source_tree_without_write_permission(tmp_path: Path) -> None:
    extra = "def build_wheel(d, *_): return _wheel(d, {})"
    project = write_project(tmp_path / "project", extra=extra)
    (tmp_path / "out").mkdir()
    project.chmod(0o555)
    try:
        assert caller(project).build_wheel(os.fspath(tmp_path / "out")) == WHEEL
        assert stat.S_IMODE(project.stat().st_mode) == 0o555
    finally:
        project.chmod(0o755)


def test_a_source_tree_that_the_policy_makes_read_only(tmp_path: Path) -> None:
    extra = "def build_wheel(d, *_):\n    try: open('made', 'w')\n    except OSError as e: return _wheel(d, {})"
    project = write_project(tmp_path / "project", extra=extra)
    hooks = caller(project, Policy(source="read-only"))
    assert hooks.build_wheel(os.fspath(project / "dist")) == WHEEL
    assert sorted(os.listdir(project)) == ["backend.py", "dist", "pyproject.toml"]


@pytest.mark.parametrize("closed", first_fast(["0", "1", "2", "12", "012"]))
def test_a_frontend_without_some_of_its_standard_streams(closed: str, tmp_path: Path) -> None:
    """A daemon has closed them. The next files get their numbers, and must not receive the output."""
    project = write_project(tmp_path / "project", extra="def build_wheel(d, *_): print('text'); return _wheel(d, {})")
    (tmp_path / "out").mkdir()
    code = "import sys; from support.projects import caller; caller(sys.argv[1]).build_wheel(sys.argv[2])"
    close = " ".join(f"{number}>&-" for number in closed)
    argv = [sys.executable, "-c", code, project, tmp_path / "out"]
    with nothing_left(tmp_path):
        done = run_text(["sh", "-c", f'exec "$@" {close}', "sh", *argv], environ={"PYTHONPATH": os.fspath(TESTS)})
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]


def test_a_frontend_that_ignores_the_end_of_its_children(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    code = "import sys; from support.projects import caller; print(caller(sys.argv[1]).build_wheel(sys.argv[2]))"
    argv = [sys.executable, "-c", ignoring, sys.executable, "-c", code, project, tmp_path / "out"]
    done = run_text(argv, environ={"PYTHONPATH": os.fspath(TESTS)})
    assert done.stdout.split() == [WHEEL], done.stderr


def test_a_read_only_filesystem(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root mounts filesystems")
    extra = "def build_wheel(d, *_): return _wheel(d, {})"
    write_project(tmp_path / "project", extra=extra)
    # In a separate mount namespace, so this host gets no mount.
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 99; shift; exec "$@"'
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", f"{tmp_path}/project"]
    if not shutil.which("unshare") or run_text([*private, "true"]).returncode:
        cannot_run("this host refuses mounts")
    done = run_text([*private, *CLI, "build", "-nxw", "-o", tmp_path / "out", tmp_path / "project"])
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]


FOREIGN = {
    "one owner": [(1234, 1234)],
    "mixed owners": [(1234, 1234), (0, 0), (5678, 0)],
    "a large id": [(3_000_000, 1)],
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners")
@pytest.mark.parametrize("owners", FOREIGN)
def test_a_tree_of_foreign_owners(owners: str, tmp_path: Path) -> None:
    extra = """
for name in ("a", "b", "c"):
    with open(name, "a") as file: file.write("appended")
    os.utime(name)
    os.chmod(name, 0o640)
open("made", "w").close()
"""
    project = write_project(tmp_path / "project", extra=extra, files=dict.fromkeys("abc", "x"))
    before = {}
    for number, path in enumerate([project, *sorted(project.iterdir())]):
        before[path] = FOREIGN[owners][number % len(FOREIGN[owners])]
        os.chown(path, *before[path])
    assert caller(project).build_wheel(os.fspath(tmp_path / "out")) == WHEEL
    after = {path: (path.stat().st_uid, path.stat().st_gid) for path in before}
    assert after == before
    assert (project / "a").read_text() == "xappended"
    # No file keeps a throw-away uid.
    known = {uid for uid, _ in before.values()} | {0}
    assert {path.stat().st_uid for path in tmp_path.rglob("*")} <= known
