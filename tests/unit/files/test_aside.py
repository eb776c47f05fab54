from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks.files.aside import aside, sweep_aside
from isolated_hooks.files.entries import temporary_name


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_everything_in_the_directory_is_removed_with_it(parent: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half-way"), aside(parent) as directory:
        os.mkdir("directory", dir_fd=directory)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
        os.rename("file", "kept", src_dir_fd=directory, dst_dir_fd=parent)
        raise ValueError("half-way")
    assert os.listdir(tmp_path) == ["kept"]


def test_a_directory_in_use_is_not_swept(parent: int, tmp_path: Path) -> None:
    with aside(parent):
        sweep_aside(parent)
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []


def test_the_directory_of_a_killed_process_is_swept(parent: int, tmp_path: Path) -> None:
    program = """
import os, sys
from isolated_hooks.files.aside import aside
fd = os.open(sys.argv[1], os.O_RDONLY)
with aside(fd) as directory:
    os.mkdir("half-written", dir_fd=directory)
    print("ready", flush=True)
    sys.stdin.read()
"""
    argv = [sys.executable, "-c", program, os.fspath(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    assert len(os.listdir(tmp_path)) == 1
    sweep_aside(parent)
    assert os.listdir(tmp_path) == []


def test_a_directory_swept_before_it_is_locked_is_created_again(
    parent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first time before the open, the second time between the open and the lock."""
    names = [temporary_name() for _ in range(3)]
    remaining = iter(names)
    mkdir, flock = os.mkdir, fcntl.flock

    def swept_at_once(name: bytes, mode: int, *, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        if name == names[0]:
            os.rmdir(name, dir_fd=dir_fd)

    def swept_before_it_is_locked(fd: int, operation: int) -> None:
        if os.path.lexists(tmp_path / os.fsdecode(names[1])):
            os.rmdir(names[1], dir_fd=parent)
        flock(fd, operation)

    monkeypatch.setattr("isolated_hooks.files.aside.temporary_name", lambda: next(remaining))
    monkeypatch.setattr("os.mkdir", swept_at_once)
    monkeypatch.setattr("fcntl.flock", swept_before_it_is_locked)
    with aside(parent):
        assert os.listdir(tmp_path) == [os.fsdecode(names[2])]
    assert os.listdir(tmp_path) == []


def test_links_files_and_other_names_are_left_alone(parent: int, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    os.symlink(outside, tmp_path / os.fsdecode(temporary_name()))
    (tmp_path / os.fsdecode(temporary_name())).touch()
    (tmp_path / ".isolated-hooks-notes").mkdir()
    before = sorted(os.listdir(tmp_path))
    sweep_aside(parent)
    assert sorted(os.listdir(tmp_path)) == before
    assert (outside / "file").exists()


def test_directories_of_another_user_are_left_alone(parent: int, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    name = os.fsdecode(temporary_name())
    (tmp_path / name).mkdir()
    os.chown(tmp_path / name, 1001, 1001)
    sweep_aside(parent)
    assert (tmp_path / name).exists()


def test_only_the_first_names_of_a_directory_are_looked_at(parent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output directory may lie in the source tree, where a hook makes names without end."""
    yielded: list[str] = []

    class Entry:
        name = "a file of the hook"

    @contextlib.contextmanager
    def scandir(_: int) -> Iterator[Iterator[Entry]]:
        def entries() -> Iterator[Entry]:
            while True:
                yielded.append("one more")
                yield Entry()

        yield entries()

    monkeypatch.setattr(os, "scandir", scandir)
    sweep_aside(parent)
    assert len(yielded) == 20_000


@pytest.mark.parametrize("failing", ["open", "stat"])
def test_a_directory_that_cannot_be_held_is_not_left_behind(
    failing: str, parent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where this process has no descriptor left, or the disk does not answer."""
    real = getattr(os, failing)

    def fail(name: object, *arguments: Any, **options: Any) -> Any:
        if isinstance(name, bytes) and name.startswith(b".isolated-hooks-"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(name, *arguments, **options)

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(OSError, match="Input/output error"), aside(parent):
            pytest.fail("nobody holds it")
    assert os.listdir(tmp_path) == []
    assert os.listdir("/proc/self/fd") == before
