from __future__ import annotations

import dataclasses
import errno
import fcntl
import marshal
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from typing import Any

import pytest
from support.fakes import make_plan, no_hang
from support.forks import in_child
from support.projects import cannot_run

from isolated_hooks.errors import SandboxSetupError
from isolated_hooks.files import register
from isolated_hooks.files.register import Registration
from isolated_hooks.files.trees import remove_path, remove_tree
from isolated_hooks.plan import Identity
from isolated_hooks.run import workspace as workspace_module
from isolated_hooks.run.leftovers import sweep
from isolated_hooks.run.workspace import PrivateDirectory, Workspace
from isolated_hooks.sandbox import identity, syscalls
from isolated_hooks.sandbox.status import start_time

UID = 61500


@pytest.fixture(autouse=True)
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A temporary directory, and a place for a register, that only the test uses."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(register, "_PARENTS", (str(tmp_path / "run"),))
    return path


@pytest.fixture
def records(place: pathlib.Path) -> pathlib.Path:
    """The directory of the register, which is there as long as it has a record."""
    return place.parent / "run" / f"isolated-hooks-register-{os.geteuid()}"


def descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


def mode(path: str | pathlib.Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def abandon(place: pathlib.Path, *trees: pathlib.Path, **status: Any) -> pathlib.Path:
    """Leave a workspace as a frontend does that is killed."""
    workspace = Workspace(map(str, trees))
    if status:
        pathlib.Path(workspace.path, "status").write_bytes(marshal.dumps(status))
    workspace._registration.release(keep=True)
    os.close(workspace._alive)
    return pathlib.Path(workspace.path)


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_nobody_else_can_look_into_a_workspace(place: pathlib.Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with Workspace() as workspace:
            workspace.write_plan(make_plan())
            assert mode(workspace.path) == 0o700
            for name in ("root", "scratch", "control", "staging", "empty"):
                assert mode(f"{workspace.path}/{name}") == 0o700
            for name in ("plan", "alive"):
                assert mode(f"{workspace.path}/{name}") == 0o600
            assert mode(f"{workspace.path}/nothing") & 0o222 == 0
            names = ["alive", "control", "empty", "nothing", "plan", "root", "scratch", "staging"]
            assert sorted(os.listdir(workspace.path)) == names
    finally:
        os.umask(before)


def test_a_workspace_is_the_callers_also_where_the_directory_hands_its_group_down(place: pathlib.Path) -> None:
    os.chmod(place, 0o2777)
    with Workspace() as workspace:
        for path in pathlib.Path(workspace.path).iterdir():
            if path.is_dir():
                assert (path.stat().st_uid, path.stat().st_gid) == (os.geteuid(), os.getegid())


def test_the_layout_names_what_is_in_the_workspace(place: pathlib.Path) -> None:
    with Workspace() as workspace:
        layout = workspace.layout
        assert pathlib.Path(workspace.path).parent == place
        for path in (layout.control, layout.staging, layout.empty):
            assert os.listdir(path) == []
        assert os.path.getsize(layout.nothing) == 0
        assert all(os.path.dirname(path) == workspace.path for path in vars(layout).values())


def test_nothing_is_left_of_a_workspace_nor_a_descriptor(place: pathlib.Path) -> None:
    before = descriptors()
    with Workspace() as workspace:
        workspace.write_plan(make_plan())
        with workspace.directory(workspace.layout.control):
            pass
    assert os.listdir(place) == []
    assert descriptors() == before
    with pytest.raises(KeyError), Workspace():
        raise KeyError
    assert os.listdir(place) == []
    assert descriptors() == before


def test_two_workspaces_do_not_meet(place: pathlib.Path) -> None:
    with Workspace() as one, Workspace() as other:
        assert one.path != other.path
        assert len(os.listdir(place)) == 2


def test_hostile_content_is_removed_and_no_link_is_followed(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("kept")
    with no_hang(), Workspace() as workspace:
        staging = workspace.layout.staging
        os.symlink(tmp_path / "outside", f"{staging}/link")
        os.link(tmp_path / "outside/file", f"{staging}/second")
        os.mkfifo(f"{staging}/fifo")
        os.mkdir(f"{staging}/closed")
        pathlib.Path(staging, "closed/file").touch()
        os.chmod(f"{staging}/closed", 0)
        here = os.open(workspace.layout.control, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d", dir_fd=here)
            deeper = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        os.close(here)
        pathlib.Path(os.fsdecode(os.fsencode(staging) + b"/\xff\n")).touch()
    assert os.listdir(place) == []
    assert (tmp_path / "outside/file").read_text() == "kept"
    assert mode(tmp_path / "outside") & 0o700 == 0o700


def test_the_child_finds_the_plan_and_is_heard_once(place: pathlib.Path) -> None:
    with Workspace() as workspace:
        plan = make_plan()
        workspace.write_plan(plan)
        with open(f"{workspace.path}/plan", "rb") as file:
            assert marshal.load(file)["cwd"] == plan.cwd.encode()
        assert workspace.status() == {}
        status = pathlib.Path(workspace.path, "status")
        status.write_bytes(marshal.dumps({"state": "exited", "code": 0}))
        assert workspace.status() == {"state": "exited", "code": 0}
        assert workspace.take_status() == {"state": "exited", "code": 0}
        assert workspace.status() == {}
        assert workspace.take_status() == {}


def test_another_plan_takes_the_place_of_a_longer_one(place: pathlib.Path) -> None:
    with Workspace() as workspace:
        pathlib.Path(workspace.path, "plan").write_bytes(b"x" * 1_000_000)
        workspace.write_plan(make_plan())
        with open(f"{workspace.path}/plan", "rb") as file:
            marshal.load(file)
            assert file.read() == b""


@pytest.mark.parametrize(
    "said", [b"", b"\0", b"half a word", marshal.dumps(["a", "list"]), marshal.dumps({"a": 1})[:4]]
)
def test_a_child_that_was_killed_while_it_spoke_said_nothing(place: pathlib.Path, said: bytes) -> None:
    with Workspace() as workspace:
        pathlib.Path(workspace.path, "status").write_bytes(said)
        assert workspace.status() == {}


def test_a_directory_of_the_workspace_that_became_a_link_is_not_followed(
    place: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    with Workspace() as workspace:
        os.rmdir(workspace.layout.control)
        os.symlink(elsewhere, workspace.layout.control)
        with pytest.raises(OSError), workspace.directory(workspace.layout.control):
            pass
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755


@pytest.mark.parametrize("bad", ["none", "file", "closed"])
def test_another_place_is_found_where_the_temporary_directory_cannot_be_used(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    if bad == "closed" and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (place / "file").touch()
    (place / "closed").mkdir(0o500)
    monkeypatch.setattr(tempfile, "tempdir", str(place / bad))
    with Workspace() as workspace:
        assert os.path.dirname(workspace.path) in ("/tmp", "/var/tmp", "/dev/shm")
    assert not os.path.exists(workspace.path)


def test_a_workspace_is_never_made_where_a_hook_could_write_to_it(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    os.symlink(place, tmp_path / "link")
    for avoided in (place, tmp_path, tmp_path / "link"):
        with Workspace((str(tmp_path / "none"), str(avoided))) as workspace:
            assert not workspace.path.startswith(str(tmp_path))
    with Workspace((str(place / "beneath"), f"{place}-beside")) as workspace:
        assert os.path.dirname(workspace.path) == str(place)


def test_the_path_of_a_workspace_has_no_links(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.symlink(place.name, place.parent / "link")
    monkeypatch.setattr(tempfile, "tempdir", str(place.parent / "link"))
    with Workspace() as workspace:
        assert os.path.dirname(workspace.path) == str(place)


def test_no_place_for_a_workspace_is_an_error_that_names_the_first_one(place: pathlib.Path) -> None:
    before = descriptors()
    with pytest.raises(SandboxSetupError) as caught:
        Workspace(("/",))
    assert caught.value.path == str(place)
    assert str(place) in str(caught.value)
    assert descriptors() == before


def test_no_temporary_directory_at_all_is_an_error_of_this_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in []")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(SandboxSetupError):
        Workspace()


@pytest.mark.parametrize("failing", ["mkdir", "mkfifo", "chown", "open"])
def test_a_workspace_that_fails_half_way_leaves_nothing(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Fails each call of a kind in turn, until there is none left to fail."""
    if failing == "chown":  # only where a directory hands another group down
        if os.geteuid() != 0:
            pytest.skip("only root may have any group hand itself down")
        os.chown(place, -1, 1001)
        os.chmod(place, 0o2755)
    original = getattr(os, failing)
    before = descriptors()
    for number in range(20):
        calls = iter(range(100))

        def refuse(*args: Any, number: int = number, calls: Any = calls, **kwargs: Any) -> Any:
            # The removal at the end is not what is to fail.
            name = os.fsdecode(args[0])
            own = name.startswith(str(place) + "/") if "dir_fd" not in kwargs else name.startswith("isolated-hooks-")
            if own and next(calls) == number:
                raise OSError(28, "No space left on device", args[0])
            return original(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, failing, refuse)
            try:
                workspace = Workspace()
            except SandboxSetupError as error:
                assert error.errno == 28
                assert os.listdir(place) == []
                assert descriptors() == before
                continue
        with workspace:
            assert number > 0, "no call was made to fail"
        break
    assert os.listdir(place) == []


def test_an_interrupt_while_a_workspace_is_made_leaves_nothing_and_stays_what_it_is(
    place: pathlib.Path, records: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = descriptors()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "mkfifo", interrupt)
        Workspace()
    assert os.listdir(place) == []
    assert not records.exists()
    assert descriptors() == before


def test_calls_that_take_each_place_one_after_the_other_are_an_error_in_the_end(
    place: pathlib.Path, records: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time that a directory is made, another call has just taken the one above it as a tree."""
    parents = [place, place.parent / "run"]
    monkeypatch.setattr(workspace_module, "workspace_parent", lambda _: str(parents[0]))
    monkeypatch.setattr(Registration, "others", lambda _: [register.Record(path="/other", trees=(str(place),))])
    with no_hang(), pytest.raises(SandboxSetupError) as caught:
        Workspace()
    assert (caught.value.stage, caught.value.errno) == ("making the workspace", errno.EAGAIN)
    assert os.listdir(place) == []
    assert not records.exists()


def test_only_a_plan_without_namespaces_gets_a_home_in_the_workspace(place: pathlib.Path) -> None:
    with Workspace() as workspace:
        workspace.write_plan(make_plan())
        assert os.listdir(workspace.layout.scratch) == []
        others = frozenset(Identity) - {Identity.CONFINED}
        workspace.write_plan(make_plan(refused=others))
        for name in ("home", "tmp"):
            assert stat.S_IMODE(os.stat(f"{workspace.layout.scratch}/{name}").st_mode) == 0o700
        assert sorted(os.listdir(workspace.layout.scratch)) == ["home", "tmp"]


def test_a_plan_that_cannot_be_written_names_the_file(place: pathlib.Path) -> None:
    with Workspace() as workspace:
        os.mkdir(f"{workspace.path}/plan")
        with pytest.raises(SandboxSetupError) as caught:
            workspace.write_plan(make_plan())
        assert (caught.value.stage, caught.value.path) == ("writing the plan", f"{workspace.path}/plan")
        os.rmdir(f"{workspace.path}/plan")
        pathlib.Path(workspace.layout.scratch, "home").touch()
        plan = dataclasses.replace(make_plan(), files={".config/file": "text"})
        with pytest.raises(SandboxSetupError) as caught:
            workspace.write_plan(plan)
        assert caught.value.path == f"{workspace.path}/scratch/home/.config/file"


def test_a_workspace_of_a_frontend_that_was_killed_is_removed(place: pathlib.Path) -> None:
    left = abandon(place)
    (left / "staging/wheel").touch()
    before = descriptors()
    with no_hang():
        sweep()
    assert os.listdir(place) == []
    assert descriptors() == before


@pytest.mark.parametrize("stage", ["making", "removing"])
def test_a_frontend_killed_while_it_makes_or_removes_its_workspace(place: pathlib.Path, stage: str) -> None:
    """Killed at each system call in turn, it leaves nothing that the next call does not find."""
    calls = ("mkdir", "mkfifo", "chown", "open", "rename", "rmdir", "unlink", "close")
    before_lock = fcntl.flock
    for number in range(200):
        pid = os.fork()
        if pid == 0:
            counted = iter(range(number, -1, -1))

            def killed(original: Any, counted: Any = counted) -> Any:
                def call(*args: Any, **kwargs: Any) -> Any:
                    if next(counted) == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return original(*args, **kwargs)

                return call

            workspace = Workspace() if stage == "removing" else None
            for name in calls:
                setattr(os, name, killed(getattr(os, name)))
            fcntl.flock = killed(before_lock)
            workspace = Workspace() if workspace is None else workspace
            if stage == "removing":
                workspace.__exit__(None, None, None)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sweep()
        assert os.listdir(place) == [], number
        if ended == 0:
            assert number > 10
            return
        assert ended == -signal.SIGKILL
    pytest.fail("it never came to its end")


def test_a_workspace_in_use_is_kept(place: pathlib.Path) -> None:
    with no_hang(), Workspace() as workspace:
        sweep()
        assert os.listdir(place) == [os.path.basename(workspace.path)]
        assert sorted(os.listdir(workspace.path))[0] == "alive"


def test_a_workspace_in_use_by_another_process_is_kept(place: pathlib.Path) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        workspace = Workspace()
        os.read(read, 1)
        os._exit(0 if os.path.isdir(workspace.path) else 1)
    os.close(read)
    try:
        with no_hang():
            while not list(place.glob("isolated-hooks-*/alive")):
                pass
            sweep()
            assert len(list(place.glob("isolated-hooks-*"))) == 1
    finally:
        os.close(write)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    sweep()
    assert os.listdir(place) == []


def test_a_workspace_that_is_being_made_is_kept(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process sweeps before each system call in turn, and may take an empty directory: it is made again."""
    for number in range(100):
        counted = iter(range(number, -100, -1))

        def swept_before(original: Any, counted: Any = counted) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                if next(counted) == 0:
                    pid = os.fork()
                    if pid == 0:
                        monkeypatch.undo()
                        sweep()
                        os._exit(0)
                    os.waitpid(pid, 0)
                return original(*args, **kwargs)

            return call

        with no_hang(), monkeypatch.context() as patch:
            for module, name in ((os, "mkdir"), (os, "mkfifo"), (os, "open"), (os, "stat"), (fcntl, "flock")):
                patch.setattr(module, name, swept_before(getattr(module, name)))
            workspace = Workspace()
        with workspace:
            workspace.write_plan(make_plan())
            assert len(os.listdir(workspace.path)) == 8
            assert os.listdir(place) == [os.path.basename(workspace.path)]
            last = next(counted) > 0
        if last:
            assert number > 10
            return
    pytest.fail("it never came to its end")


def test_without_locks_nothing_is_swept(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = abandon(place)

    def unsupported(fd: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with Workspace() as workspace:
        sweep()
        assert sorted(os.listdir(place)) == sorted([left.name, os.path.basename(workspace.path)])
    assert os.listdir(place) == [left.name]


def test_what_is_being_swept_by_another_process_is_not_waited_for(place: pathlib.Path, records: pathlib.Path) -> None:
    left = abandon(place)
    swept = register.abandoned()
    with no_hang():
        assert next(swept)[0].path == str(left)
        sweep()
        assert os.listdir(place) == [left.name]
        swept.close()
    sweep()
    assert os.listdir(place) == []
    assert not records.exists()


@pytest.mark.parametrize("found", ["empty", "no alive", "a file for alive", "a FIFO of nobody"])
def test_a_workspace_that_nobody_holds_is_removed_whatever_is_in_it(place: pathlib.Path, found: str) -> None:
    left = abandon(place)
    (left / "alive").unlink()
    if found == "empty":
        for path in left.iterdir():
            remove_path(path)
    elif found == "a file for alive":
        (left / "alive").touch()
    elif found == "a FIFO of nobody":
        os.mkfifo(left / "alive")
    with no_hang():
        sweep()
    assert os.listdir(place) == []


@pytest.mark.parametrize("name", ["isolated-hooks-0123456789abcdef", "isolated-hooks-0123456789abcdef0123"])
def test_a_directory_that_only_looks_like_a_workspace_is_kept(place: pathlib.Path, name: str) -> None:
    """A hook can make one: its name, its owner, its mode and what it holds prove nothing."""
    left = abandon(place, files_of=UID, confined=False)
    left.rename(place / name)
    left.mkdir(0o700)
    sweep()
    assert sorted(os.listdir(place)) == sorted([left.name, name])


@pytest.mark.parametrize("shape", ["gone", "file", "link", "fifo"])
def test_what_took_the_place_of_a_workspace_is_kept(
    place: pathlib.Path, records: pathlib.Path, shape: str, tmp_path: pathlib.Path
) -> None:
    left = abandon(place)
    left.rename(tmp_path / "outside")
    if shape == "file":
        left.touch()
    elif shape == "link":
        os.symlink(tmp_path / "outside", left)
    elif shape == "fifo":
        os.mkfifo(left)
    with no_hang():
        sweep()
    assert os.listdir(place) == ([] if shape == "gone" else [left.name])
    assert "alive" in os.listdir(tmp_path / "outside")
    assert not records.exists()


def test_a_workspace_in_a_directory_that_is_gone_is_forgotten(place: pathlib.Path, records: pathlib.Path) -> None:
    abandon(place)
    place.rename(place.parent / "moved")
    sweep()
    assert not records.exists()


def test_the_launcher_does_not_hold_the_workspace(place: pathlib.Path) -> None:
    """It outlives a frontend that was killed, and the next call has to wait for it, not to leave it all."""
    with Workspace() as workspace:
        program = "import os; print([os.path.realpath(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')])"
        command = [sys.executable, "-c", program]
        shown = subprocess.run(command, close_fds=False, capture_output=True, text=True, check=True).stdout
        assert "/proc/" in shown
        assert workspace.path not in shown


def test_files_that_a_killed_frontend_left_to_the_throw_away_user_are_given_back(
    place: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make files of another owner")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("new", "old"):
        (source / name).touch()
    os.chown(source / "new", UID, UID)
    os.chown(source / "old", 1001, 1001)
    abandon(place, tmp_path / "none", source, files_of=UID, confined=False)
    # A running call has the uid now, so these may be its files: wait for its end.
    with Workspace() as running:
        pathlib.Path(running.path, "status").write_bytes(marshal.dumps({"files_of": UID, "confined": False}))
        assert sweep()
        assert os.stat(source / "new").st_uid == UID
    assert not sweep()
    assert os.listdir(place) == []
    assert (os.stat(source / "new").st_uid, os.stat(source / "old").st_uid) == (0, 1001)


_SWEEP = """
import sys
from isolated_hooks.files import register
from isolated_hooks.run.leftovers import sweep

register._PARENTS = (sys.argv[1],)
assert not sweep()
"""


def sweep_in(records: pathlib.Path, *outer: str) -> None:
    """Sweep in another process, which a command starts."""
    subprocess.run([*outer, sys.executable, "-c", _SWEEP, os.fspath(records.parent)], check=True, cwd="/")


@pytest.mark.parametrize("kind", ["--user", "--mount"])
def test_a_call_in_other_namespaces_leaves_what_it_may_not_see_whole(
    place: pathlib.Path, records: pathlib.Path, tmp_path: pathlib.Path, kind: str
) -> None:
    """The path leads to another directory there, or the files of the throw-away uid have another owner."""
    outer = ("unshare", kind, *([] if kind == "--mount" and os.geteuid() == 0 else ["--map-current-user"]))
    if subprocess.run([*outer, "true"], check=False).returncode != 0:
        cannot_run("unshare(1) does not work here")
    source = tmp_path / "source"
    source.mkdir()
    (source / "new").touch()
    root = os.geteuid() == 0
    if root:
        os.chown(source / "new", UID, UID)
    left = abandon(place, source, **({"files_of": UID, "confined": False} if root else {}))
    sweep_in(records, *outer)
    if kind == "--mount" and root:
        sweep_in(records, *outer, "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', os.fspath(place))
    assert left.exists()
    sweep()
    assert not left.exists()
    assert not records.exists()
    assert os.stat(source / "new").st_uid == os.geteuid()


def test_another_root_directory_is_another_place(tmp_path: pathlib.Path) -> None:
    """As a chroot that shares the register has it, schroot(1): there a path leads elsewhere, too."""
    if os.geteuid() != 0:
        pytest.skip("only root has chroot(2)")
    (tmp_path / "root" / "proc").mkdir(parents=True)

    def work() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.make_private()
        syscalls.mount(b"/proc", os.fsencode(tmp_path / "root" / "proc"), b"", 4096 | syscalls.MS_REC)  # MS_BIND
        before = register.these_namespaces()
        os.chroot(tmp_path / "root")
        assert register.these_namespaces() not in ("", before)

    in_child(work)


def test_the_record_of_a_call_in_other_namespaces_is_forgotten_after_ten_days(
    place: pathlib.Path, records: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its namespaces are likely to be gone. What is in the directory is not ours to remove."""
    with monkeypatch.context() as patch:
        patch.setattr(workspace_module, "these_namespaces", lambda: "others")
        left = abandon(place)
    (record,) = records.iterdir()
    nearly = time.time() - 10 * 24 * 3600 + 60
    os.utime(record, (nearly, nearly))
    sweep()
    assert record.exists()
    os.utime(record, (nearly - 120, nearly - 120))
    sweep()
    assert not records.exists()
    assert left.exists()


def test_what_a_call_cannot_give_back_stays_for_one_that_can(
    place: pathlib.Path, records: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make files of another owner")
    source = tmp_path / "source"
    source.mkdir()
    (source / "new").touch()
    os.chown(source / "new", UID, UID)
    left = abandon(place, source, files_of=UID, confined=False)
    sweep_in(records, "setpriv", "--bounding-set=-chown")
    assert left.exists()
    sweep()
    assert not left.exists()
    assert os.stat(source / "new").st_uid == 0


@pytest.mark.parametrize("state", ["no source", "no uid", "half a status", "no inode"])
def test_whatever_a_killed_frontend_left_is_removed(
    place: pathlib.Path, tmp_path: pathlib.Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status: dict[str, Any] = {"files_of": UID, "confined": False}
    if state == "no uid":
        del status["files_of"]
    if state == "half a status":
        del status["confined"]
    if state == "no inode":
        write = register.Registration.write
        without = lambda self, **facts: write(self, **{**facts, "inode": None})  # noqa: E731
        monkeypatch.setattr(register.Registration, "write", without)
    abandon(place, tmp_path / "none" if state == "no source" else tmp_path / "source", **status)
    sweep()
    assert os.listdir(place) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's hooks get a uid of their own")
def test_processes_that_only_their_uid_identifies_are_ended_before_their_files_are_given_back(
    place: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """A launcher was killed where there are no namespaces. A process that lives on would make more files."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "new").touch()
    uid, lock = identity.take_uid()
    try:
        os.chown(source / "new", uid, uid)
        command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/bin/cat"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"x")  # it is cat, under the uid, once that comes back
            process.stdin.flush()
            assert process.stdout.read(1) == b"x"
            # The launcher said how it ended: it had ended the processes itself, and these are of somebody else.
            abandon(place, source, files_of=uid, confined=True, state="exited")
            sweep()
            assert process.poll() is None
            abandon(place, source, files_of=uid, confined=True)
            with no_hang():
                sweep()
                assert process.wait() == -signal.SIGKILL
    finally:
        os.close(lock)
    assert os.stat(source / "new").st_uid == 0
    assert os.listdir(place) == []


def test_a_sandbox_that_still_runs_is_killed_and_not_waited_for(place: pathlib.Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        left = abandon(place, pid=process.pid, born=start_time(process.pid))
        other = abandon(place, pid=process.pid, born=b"1")  # a later process has that number now
        with no_hang():
            sweep()
            assert not other.exists()
            assert process.wait() == -signal.SIGKILL
            assert not sweep()
    assert not left.exists()


def test_a_process_of_another_boot_is_left_alone(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with monkeypatch.context() as patch:
            patch.setattr(workspace_module, "this_boot", lambda: "another")
            left = abandon(place, pid=process.pid, born=start_time(process.pid))
        sweep()
        assert not left.exists()
        assert process.poll() is None
        process.kill()


def test_a_process_that_cannot_end_is_not_waited_for(place: pathlib.Path) -> None:
    """Its workspace stays until a later call."""
    left = abandon(place, pid=os.getppid(), born=start_time(os.getppid()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "pidfd_send_signal", lambda *_: None)
        assert sweep()
    assert left.exists()
    (left / "status").unlink()
    assert not sweep()
    assert not left.exists()


def test_one_workspace_that_cannot_be_removed_does_not_stop_the_others(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isolated_hooks.run import leftovers

    stuck, *_ = [abandon(place).name for _ in range(4)]

    def refuse(parent: int, name: str) -> None:
        if name == stuck:
            raise OSError(16, "Device or resource busy")
        remove_tree(parent, name)

    with monkeypatch.context() as patch:
        patch.setattr(leftovers, "remove_tree", refuse)
        assert not sweep()
    assert os.listdir(place) == [stuck]
    sweep()
    assert os.listdir(place) == []


def test_a_workspace_is_in_no_tree_of_another_call(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with Workspace([str(place / "beside")]) as other, Workspace([str(place)]):
        with Workspace([str(tmp_path / "tree")]) as workspace:
            assert os.path.dirname(workspace.path) in ("/tmp", "/var/tmp", "/dev/shm")
            assert workspace.others == ()
        with PrivateDirectory(prefix="build-env-", shown=True) as environment:
            assert not environment.path.startswith(str(place))
        with Workspace([str(tmp_path)]) as later:
            assert later.others == (other.path,)


def test_a_call_that_starts_at_the_same_moment_is_seen(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After we have made the directory, and before we look."""
    others = Registration.others
    started: list[Workspace] = []

    def start_another(registration: Registration) -> list[register.Record]:
        if not started:
            started.append(Workspace.__new__(Workspace))
            started[0].__init__([str(place)])  # type: ignore[misc]
        return others(registration)

    monkeypatch.setattr(Registration, "others", start_another)
    with Workspace() as workspace:
        assert not workspace.path.startswith(str(place))
        assert os.listdir(place) == []
    started[0].close()


def test_a_private_directory_of_a_killed_process_is_removed(place: pathlib.Path) -> None:
    with PrivateDirectory(prefix="build-env-") as kept:
        sweep()
        assert re.fullmatch("build-env-[0-9a-f]{20}", os.path.basename(kept.path))
        assert mode(kept.path) == 0o700
    assert os.listdir(place) == []
    left = PrivateDirectory(prefix="build-env-", shown=True)
    pathlib.Path(left.path, "status").write_bytes(marshal.dumps({"files_of": UID, "confined": False}))
    left._registration.release(keep=True)
    sweep()
    assert os.listdir(place) == []


@pytest.mark.parametrize("bad", ["writable by all", "of another user", "a link", "open to all", "a file"])
def test_a_register_that_others_could_change_is_not_used(
    place: pathlib.Path, records: pathlib.Path, tmp_path: pathlib.Path, bad: str
) -> None:
    if bad == "writable by all":
        records.parent.chmod(0o777)
    elif bad == "a link":
        os.symlink(place, records)
    elif bad == "a file":
        records.touch()
    else:
        records.mkdir(0o755 if bad == "open to all" else 0o700)
        if bad == "of another user":
            if os.geteuid() != 0:
                pytest.skip("only root can make files of another owner")
            os.chown(records, 1001, 1001)
    left = abandon(place)
    sweep()
    assert left.exists()
    assert os.listdir(place) == [left.name]


def test_no_tree_holds_the_register(place: pathlib.Path, records: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for tree in (tmp_path, records.parent, records, records / "beneath"):
        assert register.holds_register(str(tree))
    for tree in (place, records.parent / "beside", pathlib.Path(f"{records}-beside")):
        assert not register.holds_register(str(tree))


def test_a_full_disk_for_the_register_is_no_reason_to_stop(
    place: pathlib.Path, records: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with Workspace() as workspace:
        assert os.path.isdir(workspace.path)
        assert not records.exists()
    assert os.listdir(place) == []


def test_half_a_record_is_read_as_far_as_it_goes(place: pathlib.Path, records: pathlib.Path) -> None:
    with Workspace():
        for number, text in enumerate(('{"path": "/a"}\n{"pa', "", "[]\n", '{"inode": [1]}\n', '{"trees": 3}\n')):
            (records / f"{number}").write_text(text)
        found = Registration()
        assert sorted(r.path for r in found.others() if r.path.startswith("/a")) == ["/a"]
        found.release()
        sweep()
        assert len(os.listdir(records)) == 1
    assert not records.exists()
