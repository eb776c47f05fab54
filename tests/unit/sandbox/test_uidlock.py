"""The locks of throw-away uids."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from isolated_hooks.sandbox import identity, uidlock

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for the locks of this test alone."""
    monkeypatch.setattr(uidlock, "PLACES", (os.fsencode(tmp_path),))
    return tmp_path


def test_each_lock_is_held_once(place: Path) -> None:
    taken = [identity.take_uid() for _ in range(20)]
    assert len({uid for uid, _ in taken}) == 20
    assert [path.stat().st_size for path in place.iterdir()] == [0]
    for _, lock in taken:
        os.close(lock)


def test_a_lock_ends_with_the_last_process_that_has_inherited_it() -> None:
    lock, other = uidlock.open_locks(), uidlock.open_locks()
    assert uidlock.take(lock, 61184)
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    os.close(lock)
    assert not uidlock.take(other, 61184)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert uidlock.take(other, 61184)
    os.close(other)


def test_the_error_says_that_all_are_in_use() -> None:
    locks = [uidlock.open_locks() for _ in range(2)]
    for uid in range(identity.FIRST_UID, identity.LAST_UID + 1):
        assert uidlock.take(locks[uid % 2], uid)
    with pytest.raises(
        identity.NoUidLeftError, match="expected a free one from 61184 to 65519, got 4336 that are in use"
    ):
        identity.take_uid()
    for lock in locks:
        os.close(lock)


@pytest.mark.parametrize("kind", ["link", "fifo", "open to others", "another name", "directory"])
def test_a_file_that_others_may_hold_is_not_used(kind: str, place: Path, tmp_path: Path) -> None:
    path = place / "isolated-hooks-uids"
    (tmp_path / "other").touch(0o600)
    if kind == "link":
        path.symlink_to(tmp_path / "other")
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "open to others":
        path.touch(0o600)
        path.chmod(0o660)
    elif kind == "another name":
        path.hardlink_to(tmp_path / "other")
    else:
        path.mkdir()
    with pytest.raises(identity.NoUidLeftError, match=r"expected a file of this user's own in one of .*, got .*uids"):
        identity.take_uid()


def test_the_next_place_is_taken(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uidlock, "PLACES", (b"/nonexistent", os.fsencode(place)))
    os.close(identity.take_uid()[1])
    assert (place / "isolated-hooks-uids").exists()


def _uid_of_nobody() -> int:
    """Return a uid of no account, hook or other suite: two in a row, for this process alone."""
    return 30000 + 2 * (os.getpid() % 10000)


@root_only
@pytest.mark.parametrize("refused", [False, True], ids=["getpriority", "proc"])
def test_a_uid_of_a_process_is_in_use(monkeypatch: pytest.MonkeyPatch, refused: bool) -> None:
    def refuse(*_: int) -> int:
        raise PermissionError

    uid = _uid_of_nobody()
    assert not identity._uids_in_use()(uid)
    process = subprocess.Popen(["/bin/sleep", "60"], user=uid, group=uid, extra_groups=())
    try:
        if refused:
            monkeypatch.setattr(os, "getpriority", refuse)
        in_use = identity._uids_in_use()
        assert in_use(uid)
        assert not in_use(uid + 1)
    finally:
        process.kill()
        process.wait()


@root_only
def test_a_process_above_is_found_by_the_proc_that_shows_it() -> None:
    uid = _uid_of_nobody()
    code = f"from isolated_hooks.sandbox import identity as i; print(i._uids_in_use()({uid}), i._has_processes({uid}))"
    process = subprocess.Popen(["/bin/sleep", "60"], user=uid, group=uid, extra_groups=())
    try:
        command = ["unshare", "--pid", "--fork", sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        process.kill()
        process.wait()
    assert done.stdout.split() == ["True", "False"]  # the second one sees only its own namespace
