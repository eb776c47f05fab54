"""The copy of a source tree has what a build needs of it, and is bounded; what cannot be read is left out."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import no_hang

from isolated_hooks.files import copying
from isolated_hooks.files.copying import CopyLimitError, copy_tree


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    (path / "directory").mkdir(parents=True)
    (path / "directory/file").write_text("text")
    return path


def copy(source: Path, *, size: int = 1 << 30, entries: int = 1000) -> Path:
    """Copy a tree beside itself, and return the copy."""
    target = source.parent / "copy"
    target.mkdir()
    before = os.listdir("/proc/self/fd")
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    try:
        with no_hang():
            copy_tree(*fds, size=size, entries=entries)
    finally:
        for fd in fds:
            os.close(fd)
        assert os.listdir("/proc/self/fd") == before
    return target


def test_directories_files_and_links_are_copied_with_modes_and_times(source: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("precious")
    (source / "link").symlink_to(tmp_path / "outside")
    (source / "dangling").symlink_to("nothing")
    (source / "large").write_bytes(bytes(range(256)) * 10_000)
    (source / "program").touch(0o755)
    for name in ("directory/file", "directory", "."):
        os.utime(source / name, ns=(1_000_000_001, 2_000_000_002))
    os.utime(source / "link", ns=(3, 4), follow_symlinks=False)
    copied = copy(source)
    for path in (source, *source.rglob("*")):
        there = copied / path.relative_to(source)
        one, other = path.lstat(), there.lstat()
        assert (one.st_mode, one.st_mtime_ns) == (other.st_mode, other.st_mtime_ns), path
        if path.is_symlink():
            assert os.readlink(path) == os.readlink(there)
        elif path.is_file():
            assert path.read_bytes() == there.read_bytes()
            assert one.st_ino != other.st_ino
    assert sorted(os.listdir(copied)) == sorted(os.listdir(source))


def test_a_copy_has_no_special_bits_and_no_special_files(source: Path) -> None:
    (source / "program").touch()
    (source / "program").chmod(0o6755)
    (source / "directory").chmod(0o3777)
    os.mkfifo(source / "fifo")
    copied = copy(source)
    assert sorted(os.listdir(copied)) == ["directory", "program"]
    assert stat.S_IMODE((copied / "program").stat().st_mode) == 0o755
    assert stat.S_IMODE((copied / "directory").stat().st_mode) == 0o777


@pytest.mark.skipif(os.geteuid() == 0, reason="modes do not bind root")
def test_what_this_process_may_not_read_is_left_out(source: Path) -> None:
    (source / "secret").touch(0)
    (source / "closed").mkdir(0)
    assert os.listdir(copy(source)) == ["directory"]


def _gone(path: Path) -> None:
    path.unlink()


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("exchange", [_gone, _a_pipe])
def test_a_file_that_is_exchanged_before_we_open_it_is_left_out(
    exchange: Callable[[Path], None], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another hook may be at work in the tree. A pipe without a writer must not stop us."""
    (source / "file").touch()
    real = os.open

    def opened(name: str | bytes, flags: int, *more: int, dir_fd: int | None = None) -> int:
        if name == b"file" and not flags & os.O_CREAT and (source / "file").is_file():
            exchange(source / "file")
        return real(name, flags, *more, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", opened)
    assert "file" not in os.listdir(copy(source))


def test_a_tree_may_not_be_larger_than_its_copy(source: Path) -> None:
    (source / "large").write_bytes(b"x" * 5000)
    with pytest.raises(CopyLimitError, match="too many bytes"):
        copy(source, size=5000)
    (source.parent / "copy").rename(source.parent / "first")
    copied = copy(source, size=5004)
    assert (copied / "large").stat().st_size == 5000


def test_a_tree_may_not_have_more_entries_than_its_copy(source: Path) -> None:
    (source / "link").symlink_to("directory")
    with pytest.raises(CopyLimitError, match="too many files"):
        copy(source, entries=2)
    (source.parent / "copy").rename(source.parent / "first")
    copy(source, entries=3)


def test_a_tree_may_not_be_deeper_than_its_copy(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_DEEPEST", 3)
    (source / "1/2/3").mkdir(parents=True)
    copy(source)
    (source.parent / "copy").rename(source.parent / "first")
    (source / "1/2/3/4").mkdir()
    with pytest.raises(CopyLimitError, match="more than 3 directories"):
        copy(source)


def test_files_that_share_their_blocks_take_no_room(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on btrfs and xfs: the request of the kernel has the numbers of ioctl_ficlone(2)."""

    def share(target: int, request: int, fd: int) -> int:
        assert request == 0x40049409
        return os.write(target, os.pread(fd, 1 << 20, 0))

    monkeypatch.setattr(fcntl, "ioctl", share)
    (source / "large").write_bytes(b"x" * 5000)
    assert (copy(source, size=0) / "large").read_bytes() == b"x" * 5000
