"""What cannot be removed is an error that names its cause, and keeps nothing else from being removed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks.files.trees import remove_path, remove_tree


@pytest.fixture
def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with a file that nobody can remove, as a mount on it, or its attribute ``i``, would have it."""
    tree = tmp_path / "tree"
    for name in ("a/deep/file", "a/deep/stuck", "b/file", "file"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    real = os.unlink

    def unlink(name: Any, **options: Any) -> None:
        if os.fsdecode(name) == "stuck":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)
        real(name, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    return tree


def test_everything_but_what_is_stuck_is_removed(stuck: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError) as caught:
        remove_path(stuck)
    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, b"stuck")
    assert [path.name for path in stuck.rglob("*") if not path.is_dir()] == ["stuck"]
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("options", [{"ignore_errors": True}, {"onexc": lambda *_: pytest.fail("it was called")}])
def test_who_asks_to_ignore_errors_gets_none(options: dict[str, Any], stuck: Path) -> None:
    remove_path(stuck, **options)
    assert stuck.exists()
    remove_path(stuck.parent / "no/such/parent", **options)


def test_a_path_in_no_directory_is_an_error(tmp_path: Path) -> None:
    remove_path(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        remove_path(tmp_path / "no/such/parent")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0b"])
def test_only_one_component_is_removed(name: str, tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(ValueError, match="single path component"):
            remove_tree(fd, name)
    finally:
        os.close(fd)
    assert (tmp_path / "a/b").is_dir()
