"""Every failure raises a typed error that names the problem and the remedy; no hook runs, and nothing is left."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.lanes import first_fast
from support.projects import SDIST, WHEEL, caller, cannot_run, contents, facts, nothing_left, write_project

from isolated_hooks import (
    IsolatedHookCaller,
    IsolatedRunner,
    Policy,
    PolicyError,
    SandboxSetupError,
    UntrustedResultError,
)
from isolated_hooks.hookcall import SubprocessRunner

pytestmark = pytest.mark.usefixtures("sandbox")

SCRIPT = os.path.join(os.path.dirname(pyproject_hooks.__file__), "_in_process", "_in_process.py")
ROOT = os.geteuid() == 0


@pytest.fixture
def control(tmp_path: Path) -> Path:
    """A control directory as pyproject_hooks creates it."""
    directory = tmp_path / "control"
    directory.mkdir(mode=0o700)
    (directory / "input.json").write_text('{"kwargs": {"config_settings": null}}')
    return directory


def run_hook(telling_project: Path, control: Path, *, hook: str = "", inner: SubprocessRunner | None = None) -> None:
    hook = hook or "get_requires_for_build_wheel"
    variables = {"_PYPROJECT_HOOKS_BUILD_BACKEND": "backend"}
    variables["_PYPROJECT_HOOKS_BACKEND_PATH_JSON"] = f'["{telling_project}"]'
    IsolatedRunner(inner=inner)(
        [sys.executable, SCRIPT, hook, os.fspath(control)], os.fspath(telling_project), variables
    )


def test_the_direct_call_of_the_runner_works(telling_project: Path, control: Path) -> None:
    run_hook(telling_project, control)
    assert facts(telling_project)
    assert (control / "output.json").exists()


# Commands that are no hook call, or do not fit.


@pytest.mark.usefixtures("asserts_not_run")
@pytest.mark.parametrize(
    "change",
    first_fast(
        [
            lambda cmd: [*cmd[:2], "no_such_hook", cmd[3]],
            lambda cmd: [*cmd[:2], "get_requires_for_build_wheel\n", cmd[3]],
            lambda _: [],
            lambda cmd: cmd[:3],
            lambda cmd: [*cmd, "more"],
            lambda cmd: ["env", *cmd],
            lambda cmd: [cmd[0], "-c", "pass", cmd[3]],
            lambda cmd: [cmd[0], cmd[1] + ".missing", cmd[2], cmd[3]],
            lambda cmd: [*cmd[:3], cmd[3] + "-missing"],
            lambda cmd: ["no-such-python", *cmd[1:]],
            lambda cmd: ["./python", *cmd[1:]],
            lambda cmd: [Path(cmd[0]), *cmd[1:]],
        ],
        4,
    ),
)
def test_another_command_is_refused(
    change: Callable[[list[str]], list[Any]], telling_project: Path, control: Path
) -> None:
    runner = IsolatedRunner(inner=lambda *_, **__: pytest.fail("the inner runner was called"))
    cmd = [sys.executable, SCRIPT, "get_requires_for_build_wheel", os.fspath(control)]
    with pytest.raises(PolicyError) as caught:
        runner(change(cmd), os.fspath(telling_project), {})
    assert "hook" in str(caught.value) or "interpreter" in str(caught.value)


@pytest.mark.usefixtures("asserts_not_run")
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kwargs": []}', "nonsense", '{"kwargs": {}}'])
def test_a_broken_control_directory_is_refused(text: str, telling_project: Path, control: Path) -> None:
    (control / "input.json").write_text(text)
    with pytest.raises(PolicyError, match=r"input\.json|wheel_directory"):
        run_hook(telling_project, control, hook="build_wheel")


@pytest.mark.parametrize("kind", ["missing", "file", "dangling link"])
def test_a_source_tree_that_is_not_a_directory_is_refused(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    if kind == "file":
        source.touch()
    elif kind == "dangling link":
        source.symlink_to("nowhere")
    with nothing_left(tmp_path), pytest.raises(PolicyError, match=r"source tree .*source' is not a directory"):
        IsolatedHookCaller(os.fspath(source), "backend").get_requires_for_build_wheel()


@pytest.mark.usefixtures("asserts_not_run")
@pytest.mark.parametrize("home", ["the tree", "beneath the tree", "a link to the tree"])
def test_a_source_tree_with_the_home_directory_in_it_is_refused(
    home: str, telling_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {
        "the tree": telling_project,
        "beneath the tree": telling_project / "home",
        "a link to the tree": tmp_path / "home",
    }[home]
    if home == "a link to the tree":
        place.symlink_to(telling_project)
    monkeypatch.setenv("HOME", os.fspath(place))
    if home == "beneath the tree":
        (telling_project / "home").mkdir()
    with pytest.raises(PolicyError, match=r"home directory.*move the project"):
        caller(telling_project).get_requires_for_build_wheel()
    if home == "beneath the tree":
        (telling_project / "home").rmdir()


@pytest.mark.parametrize("source", first_fast(["/", "/tmp", "/proc", "/etc", "/var/tmp", "/dev/shm"], 2))
def test_a_system_directory_as_source_tree_is_refused(source: str, tmp_path: Path) -> None:
    with nothing_left(tmp_path), pytest.raises(PolicyError, match="source tree") as caught:
        IsolatedHookCaller(source, "backend").get_requires_for_build_wheel()
    assert "choose a directory beneath it" in str(caught.value) or "move the project" in str(caught.value)


# Policies.


@pytest.mark.usefixtures("asserts_not_run")
@pytest.mark.parametrize("policy", [{"network": True}, "strict", 1, object()], ids=lambda policy: type(policy).__name__)
def test_a_policy_of_another_type_is_refused_before_anything(policy: Any, telling_project: Path) -> None:
    with pytest.raises((PolicyError, TypeError), match=r"[Pp]olicy"):
        caller(telling_project, policy)
    with pytest.raises((PolicyError, TypeError), match=r"[Pp]olicy"):
        IsolatedRunner(policy)


@pytest.mark.usefixtures("asserts_not_run")
@pytest.mark.parametrize("key", ["expose", "writable"])
def test_a_path_that_does_not_exist_is_refused(key: str, telling_project: Path, tmp_path: Path) -> None:
    paths: dict[str, Any] = {key: [tmp_path / "no\nsuch"]}
    policy = Policy(**paths)
    with pytest.raises(PolicyError, match=rf"{key}: .*no.+x0asuch' does not exist"):
        caller(telling_project, policy).get_requires_for_build_wheel()


@pytest.mark.usefixtures("asserts_not_run")
def test_a_hidden_interpreter_is_named(telling_project: Path) -> None:
    with pytest.raises(SandboxSetupError) as caught:
        caller(telling_project, Policy(hide=[sys.executable])).get_requires_for_build_wheel()
    assert (caught.value.syscall, caught.value.path) == ("execve", sys.executable)
    assert sys.executable in str(caught.value)


@pytest.mark.usefixtures("asserts_not_run")
def test_a_missing_interpreter_is_named(telling_project: Path, tmp_path: Path) -> None:
    python = os.fspath(tmp_path / "no-python")
    with pytest.raises((SandboxSetupError, PolicyError), match="no-python"):
        caller(telling_project, python_executable=python).get_requires_for_build_wheel()


@pytest.mark.usefixtures("asserts_not_run")
def test_a_missing_metadata_directory_is_named(telling_project: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"metadata directory .*missing.dist-info' does not exist"):
        caller(telling_project).build_wheel(
            os.fspath(tmp_path), metadata_directory=os.fspath(tmp_path / "missing.dist-info")
        )


# Output directories and temporary files.


@pytest.mark.usefixtures("asserts_not_run")
@pytest.mark.parametrize("beneath", ["", "sub"])
def test_an_output_directory_that_is_a_file(beneath: str, telling_project: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(NotADirectoryError, match=r"out|sub"):
        caller(telling_project).build_wheel(os.fspath(tmp_path / "out" / beneath))
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.usefixtures("asserts_not_run")
def test_an_output_directory_behind_a_link_that_a_hook_may_have_made(telling_project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (telling_project / "dist").symlink_to(tmp_path / "elsewhere")
    try:
        with pytest.raises(UntrustedResultError, match="a link within the source tree"):
            caller(telling_project).build_wheel(os.fspath(telling_project / "dist"))
        assert os.listdir(tmp_path / "elsewhere") == []
    finally:
        (telling_project / "dist").unlink()


@pytest.mark.skipif(ROOT, reason="no directory is read-only by its mode for root")
@pytest.mark.parametrize("made", [True, False])
def test_an_output_directory_that_cannot_be_written(made: bool, telling_project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    with nothing_left(tmp_path), pytest.raises(PermissionError, match=r"out|new"):
        caller(telling_project).build_wheel(os.fspath(out if made else out / "new"))
    assert os.listdir(out) == []
    assert facts(telling_project) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if not ROOT:
        pytest.skip("only root mounts filesystems")
    if libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, b"size=256k,mode=0755"):
        cannot_run(f"this host refuses to mount a tmpfs: {os.strerror(ctypes.get_errno())}")
    try:
        yield place
    finally:
        libc.umount2(os.fsencode(place), 2)


LARGE = """
def build_sdist(sdist_directory, config_settings=None):
    with open(os.path.join(sdist_directory, SDIST), "wb") as file:
        file.write(b"x" * 2**20)
    return SDIST
"""


def test_a_full_disk_under_the_staging(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    telling_project = write_project(tmp_path / "project", extra=LARGE)
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(small_disk))
    policy = Policy(limits={"free_space": None})  # this limit could end the hook before it gets the error
    hooks = caller(telling_project, policy, runner=pyproject_hooks.quiet_subprocess_runner)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        hooks.build_sdist(os.fspath(tmp_path / "out"))
    assert b"No space left on device" in caught.value.output
    assert os.listdir(tmp_path / "out") == os.listdir(small_disk) == []


def test_a_full_disk_under_the_output_directory(small_disk: Path, tmp_path: Path) -> None:
    telling_project = write_project(tmp_path / "project", extra=LARGE)
    (small_disk / SDIST).write_bytes(b"an earlier one")
    with nothing_left(tmp_path), pytest.raises(OSError, match="No space left"):
        caller(telling_project).build_sdist(os.fspath(small_disk))
    assert contents(small_disk) == {SDIST: b"an earlier one"}


@pytest.mark.parametrize("kind", ["missing", "file", "closed"])
def test_an_unusable_temporary_directory_is_replaced(
    kind: str, telling_project: Path, control: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "no temporary files"
    if kind == "file":
        place.touch()
    elif kind == "closed":
        place.mkdir(mode=0o555)
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(place))
    workspaces: list[str] = []

    def inner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        (workspace,) = (part for part in cmd if os.path.basename(part).startswith("isolated-hooks-"))
        assert os.path.isdir(workspace)
        workspaces.append(workspace)
        pyproject_hooks.quiet_subprocess_runner(cmd, cwd, extra_environ)

    run_hook(telling_project, control, inner=inner)
    assert facts(telling_project)
    assert [os.path.exists(workspace) for workspace in workspaces] == [False]
    assert kind == "missing" or place.exists()


def test_no_usable_temporary_directory_is_an_error(
    telling_project: Path, control: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(SandboxSetupError, match="workspace") as caught:
        run_hook(telling_project, control)
    assert caught.value.path == tempfile.gettempdir()
    assert facts(telling_project) == []
    assert os.listdir(control) == ["input.json"]


# Broken backends.


def test_results_that_are_refused_leave_nothing(tmp_path: Path) -> None:
    extra = "def build_wheel(d, *_): os.symlink('/etc/hostname', os.path.join(d, WHEEL)); return WHEEL"
    telling_project = write_project(tmp_path / "project", extra=extra)
    with nothing_left(tmp_path), pytest.raises(UntrustedResultError):
        caller(telling_project).build_wheel(os.fspath(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_hook_that_leaves_nothing(tmp_path: Path) -> None:
    telling_project = write_project(tmp_path / "project", extra="def build_wheel(d, *_): return WHEEL")
    with nothing_left(tmp_path), pytest.raises(UntrustedResultError, match=r"example-1\.0-py3-none-any\.whl|wheel"):
        caller(telling_project).build_wheel(os.fspath(tmp_path / "out"))


def test_a_hook_that_ends_before_it_has_answered(tmp_path: Path) -> None:
    telling_project = write_project(tmp_path / "project", extra="def build_wheel(d, *_): os._exit(0)")
    with nothing_left(tmp_path), pytest.raises(UntrustedResultError, match=r"output\.json"):
        caller(telling_project).build_wheel(os.fspath(tmp_path / "out"))


def test_half_of_an_artefact_is_not_taken_from_a_hook_that_fails(tmp_path: Path) -> None:
    extra = "def build_wheel(d, *_): _wheel(d, {}); os._exit(1)"
    telling_project = write_project(tmp_path / "project", extra=extra)
    with nothing_left(tmp_path), pytest.raises(subprocess.CalledProcessError):
        caller(telling_project).build_wheel(os.fspath(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="modes do not keep root from reading")
def test_an_output_directory_that_the_hook_made_unreadable(tmp_path: Path) -> None:
    extra = """
def build_wheel(d, *_):
    _wheel(d, {}); os.chmod(d, 0); os.chmod(sys.argv[-1], 0o300)
    time.sleep(0.5)  # the watching process checks it meanwhile
    return WHEEL
"""
    telling_project = write_project(tmp_path / "project", extra=extra)
    with nothing_left(tmp_path):
        assert caller(telling_project).build_wheel(os.fspath(tmp_path / "out")) == WHEEL
    assert os.listdir(tmp_path / "out") == [WHEEL]


def test_files_with_modes_that_prevent_removal_are_removed(tmp_path: Path) -> None:
    extra = """
def build_wheel(d, *_):
    for place in (d, "/tmp", os.environ["HOME"]):
        os.makedirs(place + "/closed/deep"); open(place + "/closed/deep/file", "w").close()
        os.chmod(place + "/closed/deep", 0); os.chmod(place + "/closed", 0)
    return _wheel(d, {})
"""
    telling_project = write_project(tmp_path / "project", extra=extra)
    with nothing_left(tmp_path):
        caller(telling_project).build_wheel(os.fspath(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == [WHEEL]
    assert stat.S_IMODE((tmp_path / "out" / WHEEL).stat().st_mode) & 0o600 == 0o600
