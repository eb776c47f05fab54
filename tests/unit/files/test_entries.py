"""An error of the system in what a hook has left is a fault of the hook, and never one of the frontend."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.files.entries import OpenFile, entry_names, open_file


def test_a_file_that_cannot_be_read_is_the_hooks_fault(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)  # read(2) fails on it with EISDIR
    try:
        with pytest.raises(UntrustedResultError, match=r"cannot be opened \(Is a directory\)") as caught:
            OpenFile("wheel.whl", fd, 10).read(10)
    finally:
        os.close(fd)
    assert "wheel.whl" in str(caught.value)


def test_a_directory_that_cannot_be_listed_is_the_hooks_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        with pytest.raises(UntrustedResultError, match="Not a directory"):
            entry_names(fd, limit=10)
    finally:
        os.close(fd)


def test_a_link_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(UntrustedResultError, match="symbolic link"), open_file(fd, b"link", limit=100):
            pytest.fail("it was followed")
    finally:
        os.close(fd)
