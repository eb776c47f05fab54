"""Directories that stay what they were, and files read from a hostile tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isolated_hooks import UntrustedResultError
from isolated_hooks.files.pinned import Pinned
from isolated_hooks.files.reading import read_file
from isolated_hooks.files.steered import Trees


@pytest.mark.parametrize("swap", ["link", "directory", "parent", "gone"])
def test_a_directory_that_was_exchanged(tmp_path: Path, swap: str) -> None:
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "file").write_text("precious")
    (outside / "inner" / "file").write_text("precious")
    with Pinned(str(tmp_path / "tree" / "inner")) as held:
        held.check()
        path = tmp_path / "tree" / "inner"
        (path / "ours").write_text("")
        (path.parent if swap == "parent" else path).rename(tmp_path / "moved")
        if swap == "directory":
            path.mkdir()
            (path / "file").write_text("precious")
        elif swap != "gone":
            (path.parent if swap == "parent" else path).symlink_to(outside)
        with pytest.raises(UntrustedResultError, match="must not move"):
            held.check()
        assert os.listdir(held.here) == ["ours"]
        held.remove()
        assert os.listdir(held.here) == []
    assert (outside / "file").read_text() == (outside / "inner" / "file").read_text() == "precious"
    assert swap != "directory" or (path / "file").read_text() == "precious"


def test_a_directory_that_stayed_is_removed(tmp_path: Path) -> None:
    with Pinned(str(tmp_path / "a" / "b")) as held:
        (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
        held.remove()
    assert os.listdir(tmp_path / "a") == []


def test_what_is_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_text("text")
    (tree / "link").symlink_to("sub/file")
    (tree / "out").symlink_to("/etc/hostname")
    (tree / "up").symlink_to("/etc")
    (tree / "zero").symlink_to("/dev/zero")
    os.mkfifo(tree / "fifo")
    trees = Trees((str(tree),), ())
    for name in ("sub/file", "link", "sub/../link"):
        assert read_file(f"{tree}/{name}", trees, limit=4) == b"text"
    for name in ("out", "up/hostname", "zero", "fifo", "sub"):
        with pytest.raises(UntrustedResultError):
            read_file(f"{tree}/{name}", trees, limit=100)
    with pytest.raises(UntrustedResultError, match="larger"):
        read_file(f"{tree}/link", trees, limit=3)
    with pytest.raises(FileNotFoundError):
        read_file(f"{tree}/none", trees, limit=3)
    assert read_file("/etc/hostname", trees, limit=1 << 16)
