"""Directories of the host that are listed once: no change of one goes unseen."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from isolated_hooks.files import listing
from isolated_hooks.files.listing import names_of
from isolated_hooks.files.paths import RealFilesystem


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that nobody has changed for long enough."""
    path = tmp_path / "directory"
    path.mkdir()
    (path / "b").touch()
    (path / "a").touch()
    monkeypatch.setattr(listing, "_SETTLED", -(10**18))
    listing._names.cache_clear()
    return path


def test_a_directory_is_read_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names_of(str(directory)) == ("a", "b")
    monkeypatch.setattr(os, "listdir", lambda _: pytest.fail("it was read again"))
    assert names_of(str(directory)) == ("a", "b")


def test_each_change_is_seen(directory: Path) -> None:
    assert names_of(str(directory)) == ("a", "b")
    time.sleep(0.05)  # the clock of the kernel ticks
    (directory / "c").touch()
    assert names_of(str(directory)) == ("a", "b", "c")
    time.sleep(0.05)
    (directory / "a").unlink()
    assert names_of(str(directory)) == ("b", "c")
    directory.rename(directory.parent / "elsewhere")
    directory.mkdir()
    assert names_of(str(directory)) == ()
    assert names_of(str(directory.parent / "elsewhere")) == ("b", "c")


def test_times_that_somebody_has_set_back_hide_nothing(directory: Path) -> None:
    before = directory.stat()
    assert names_of(str(directory)) == ("a", "b")
    time.sleep(0.05)
    (directory / "npmrc").touch()
    os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert names_of(str(directory)) == ("a", "b", "npmrc")


def test_a_directory_that_was_just_changed_is_read_each_time(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes within a tick of the clock have one time."""
    monkeypatch.setattr(listing, "_SETTLED", 10**12)
    for name in ("c", "d", "e"):
        (directory / name).touch()
        assert name in names_of(str(directory))
    assert listing._names.cache_info().currsize == 0


def test_a_directory_that_changes_meanwhile_is_not_remembered(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.listdir

    def change(path: int | str) -> list[str]:
        names = listed(path)
        monkeypatch.setattr(os, "listdir", listed)
        time.sleep(0.05)
        (directory / "late").touch()
        return names

    monkeypatch.setattr(os, "listdir", change)
    assert names_of(str(directory)) == ("a", "b", "late")
    assert listing._names.cache_info().currsize == 0


def test_an_error_is_not_remembered(directory: Path) -> None:
    filesystem = RealFilesystem()
    assert filesystem.names(str(directory / "a")) == ()
    assert filesystem.names(str(directory / "new")) == ()
    (directory / "new").mkdir()
    (directory / "new" / "file").touch()
    assert filesystem.names(str(directory / "new")) == ("file",)
