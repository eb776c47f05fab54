"""``source = "discard"``: hooks write to a view of the source tree, and the tree stays as it is."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from support.lanes import first_fast
from support.projects import (
    CLI,
    WHEEL,
    WITH_PYTHON,
    caller,
    clean_environ,
    command,
    contents,
    nothing_left,
    plain_caller,
    running,
    write_project,
)

from isolated_hooks import HookReport, IsolatedHookCaller, Policy, SandboxUnavailableError
from isolated_hooks.launchers.native import Native
from isolated_hooks.plan import Identity
from isolated_hooks.run import discard, trial
from isolated_hooks.selftest.world.processes import until

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning"),
]
ROOT = os.geteuid() == 0
BACKEND = """
import shutil

def get_requires_for_build_wheel(config_settings=None):
    os.makedirs("build/lib")
    for path in ("build/lib/made.py", "conftest.py"):
        open(path, "w").close()
    with open(os.path.join(HERE, "backend.py"), "a") as file:  # HERE is where the backend lies
        file.write("# more\\n")
    os.unlink("README")
    try:
        os.chmod("data", 0o700)
    except PermissionError:
        pass  # without user namespaces, root's hook is not the owner
    shutil.rmtree("old")
    os.symlink("data", "link")
    return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    names = sorted(set(os.listdir(".")) - {"__pycache__"})
    assert names == ["backend.py", "build", "conftest.py", "data", "link", "pyproject.toml"], names
    assert open("backend.py").read().endswith("# more\\n") and os.listdir("build/lib") == ["made.py"]
    os.unlink("conftest.py")
    return _wheel(wheel_directory, {})
"""
FILES = {"README": "read me", "data/one": "1", "old/two": "2"}


def state(directory: Path) -> dict[str, tuple[object, ...]]:
    """Return what nobody may change in a tree."""
    found = [directory, *directory.rglob("*")]
    return {os.fspath(p): (s.st_mode, s.st_uid, s.st_mtime_ns, s.st_ctime_ns) for p in found for s in [p.lstat()]}


def detailed(project: Path, policy: Policy) -> IsolatedHookCaller:
    hooks = caller(project, policy)
    hooks._isolated_runner.detailed = True
    return hooks


def without_caches(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("__pycache__")]


def check_changes(first: HookReport, second: HookReport) -> None:
    assert HookReport.from_dict(json.loads(json.dumps(first.to_dict()))) == first
    assert first.details is not None
    assert second.details is not None
    tree, later = first.details.tree, second.details.tree
    assert tree is not None
    assert later is not None
    new = {"conftest.py", "build/", "build/lib/", "build/lib/made.py", "link"}
    assert set(without_caches(tree.new)) == new
    assert tree.new[0] == "conftest.py"
    assert "backend.py" in tree.changed
    assert {"README", "old/"} <= set(tree.removed)
    changes = [without_caches(names) for names in (later.new, later.changed, later.removed)]
    assert changes == [[], [], ["conftest.py"]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", extra=BACKEND, files=FILES)


def _mixed(project: Path, _: pytest.MonkeyPatch) -> None:
    if not ROOT:
        pytest.skip("only root has a tree of several owners")
    os.chown(project / "data", 12345, 12345)
    os.chown(project / "data/one", 12346, 12345)


def _without(*identities: Identity) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def refuse(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if Identity.MIRROR not in identities and not ROOT:
            pytest.skip("only root is given another uid")
        first = (Identity.USER, (), False, "native")
        monkeypatch.setattr(trial, "refused_identities", lambda *_: frozenset(identities))
        monkeypatch.setattr(trial, "_tried", {first: {"syscall": "unshare", "errno": 1, "stage": "identity"}})

    return refuse


MAPPED = (Identity.SINGLE, Identity.RANGE)
NAMESPACES = (Identity.USER, *MAPPED, Identity.MIRROR, Identity.SHARED)
WAYS: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "as it is": lambda *_: None,
    "a copy": lambda _, monkeypatch: monkeypatch.setattr(Native, "overlays", False),
    "several owners": _mixed,
    "no idmapped mounts": _without(*MAPPED),
    "no other user": _without(*MAPPED, Identity.MIRROR),
    "no namespaces": _without(*NAMESPACES),
    "no namespaces, own user": _without(*NAMESPACES, Identity.SEPARATE),
}


@pytest.mark.parametrize("way", first_fast(WAYS, 3))
def test_the_tree_stays_and_all_hooks_share_one_view(
    way: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WAYS[way](project, monkeypatch)
    before, files = state(project), contents(project)
    policy = Policy(source="discard", allow_degraded=["no-namespaces"] if "no" in way else [])
    with nothing_left(tmp_path):
        hooks = detailed(project, policy)
        assert hooks.get_requires_for_build_wheel() == []
        assert hooks.build_wheel(os.fspath(tmp_path / "out")) == WHEEL
        reports = hooks.reports
        del hooks
        gc.collect()
    assert (state(project), contents(project)) == (before, files)
    check_changes(*reports)


def test_another_launcher_gets_a_copy(project: Path, tmp_path: Path, launcher: str) -> None:
    files = contents(project)
    hooks = detailed(project, Policy(source="discard", launcher=launcher))
    hooks.get_requires_for_build_wheel()
    hooks.build_wheel(os.fspath(tmp_path / "out"))
    assert contents(project) == files
    check_changes(*hooks.reports)


def test_another_caller_has_another_view(project: Path) -> None:
    for _ in range(2):
        assert caller(project, Policy(source="discard")).get_requires_for_build_wheel() == []


PEEKS = """
def get_requires_for_build_wheel(config_settings=None):
    for path in ("vendor", "vendor/lib", "vendor/lib/.git"):
        try:
            os.rename(path, "moved")
        except OSError:
            pass
    return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    found = [os.path.join(top, name) for top, _, names in os.walk(".") for name in names if name == "config"]
    assert found
    return _wheel(wheel_directory, {"found": "".join(open(path).read() for path in found)})
"""


def test_a_hook_cannot_uncover_for_the_next_one_what_is_masked_in_the_tree(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=PEEKS)
    repository = project / "vendor/lib"
    subprocess.run(["git", "init", "-q", repository], check=True)
    url = "https://me:hunter2@example.org/x"
    subprocess.run(["git", "-C", repository, "remote", "add", "origin", url], check=True)
    shutil.copytree(project, tmp_path / "bare")
    seen = {}
    policy = Policy(source="discard")
    for name, hooks in {"project": caller(project, policy), "bare": plain_caller(tmp_path / "bare")}.items():
        out = tmp_path / f"{name} out"
        out.mkdir()
        hooks.get_requires_for_build_wheel()
        hooks.build_wheel(os.fspath(out))
        seen[name] = b"hunter2" in (out / WHEEL).read_bytes()
    assert seen == {"project": False, "bare": True}


def test_an_output_directory_in_the_tree_is_the_only_thing_that_changes(project: Path) -> None:
    files = contents(project)
    hooks = caller(project, Policy(source="discard"))
    hooks.get_requires_for_build_wheel()
    hooks.build_wheel(os.fspath(project / "old/out"))
    after = contents(project)
    assert after.keys() - files.keys() == {"old/out", f"old/out/{WHEEL}"}
    assert {path: after[path] for path in files} == files


@pytest.mark.parametrize("bound", ["_MOST_ENTRIES", "_MOST_BYTES"])
def test_a_tree_that_is_too_large_for_a_copy_is_refused_before_a_hook_runs(
    bound: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Native, "overlays", False)
    monkeypatch.setattr(discard, bound, 3)
    monkeypatch.setattr("isolated_hooks.files.copying._share", lambda *_: False)
    files = contents(project)
    with nothing_left(tmp_path):
        hooks = caller(project, Policy(source="discard"))
        with pytest.raises(SandboxUnavailableError, match="too large for a copy: too many") as caught:
            hooks.get_requires_for_build_wheel()
        assert "TMPDIR" in caught.value.remedy
        assert hooks.reports == []
        del hooks, caught
        gc.collect()
    assert contents(project) == files


@pytest.mark.slow
def test_a_command_and_a_build_discard_too(project: Path, tmp_path: Path) -> None:
    files = contents(project)
    done = command("run", "--source", "discard", "--", "sh", "-c", "echo x > README; cat README", cwd=project)
    assert (done.returncode, done.stdout) == (0, "x\n")
    assert contents(project) == files
    project = write_project(tmp_path / "plain")
    files = contents(project)
    argv = ("build", "-n", "--source", "discard", "-o", tmp_path / "out", project)
    done = command(*argv, environ=WITH_PYTHON)
    assert done.returncode == 0, done.stderr
    assert contents(project) == files
    assert len(os.listdir(tmp_path / "out")) == 2
    done = command("explain", "--source", "discard", project)
    assert "discarded" in done.stdout


@pytest.mark.slow
def test_every_attack_is_held_in_a_view_too() -> None:
    done = command("selftest", "--source", "discard")
    assert done.returncode == 0, done.stdout
    assert "Everything that the policy promises held." in done.stdout


@pytest.mark.slow
def test_nothing_is_left_of_a_view_whose_caller_was_killed(tmp_path: Path) -> None:
    slow = "def build_wheel(*_):\n    import time; open('started', 'w').close(); time.sleep(600)\n"
    project = write_project(tmp_path / "project", extra=slow)
    files = contents(project)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environ = clean_environ(**WITH_PYTHON, TMPDIR=os.fspath(temporary))
    argv = [*CLI, "build", "-nw", "--source", "discard", os.fspath(project)]
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: any(temporary.glob("*/upper/started")) or any(temporary.glob("*/copy/started")), seconds=60)
    finally:
        process.kill()
        process.wait()
    until(lambda: not running(temporary), seconds=30)
    assert list(temporary.glob("isolated-hooks-*"))
    command("run", "--", "true", cwd=project, environ={"TMPDIR": os.fspath(temporary)})
    assert list(temporary.glob("isolated-hooks-*")) == []
    assert {p: c for p, c in contents(project).items() if not p.startswith("dist")} == files


def test_the_view_is_removed_when_python_ends(project: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from support.projects import caller; from isolated_hooks import Policy; "
        "hooks = caller(sys.argv[1], Policy(source='discard')); hooks.get_requires_for_build_wheel()"
    )
    with nothing_left(tmp_path) as temporary:
        environ = {**os.environ, "TMPDIR": os.fspath(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", code, os.fspath(project)], env=environ, check=True)
