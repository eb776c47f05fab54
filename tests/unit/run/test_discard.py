"""The view that takes the place of a source tree: what it is made of, and that nothing is left of it."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from isolated_hooks import SandboxSetupError, SandboxUnavailableError
from isolated_hooks.run import discard
from isolated_hooks.run.discard import DiscardedTree, DiscardedTrees
from isolated_hooks.sandbox import mounts


@pytest.fixture(autouse=True)
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """A temporary directory that only the test uses, in which nothing may be left."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    yield path
    monkeypatch.undo()
    assert os.listdir(path) == []


@pytest.fixture
def source(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "source"
    (path / "directory").mkdir(parents=True)
    (path / "file").write_text("text")
    path.chmod(0o750)
    return str(path)


def test_an_overlay_begins_empty_and_has_the_mode_of_the_tree(source: str) -> None:
    with DiscardedTree(source, (), overlay=True) as view:
        assert (view.now.path, view.now.overlay) == (view.path, True)
        assert sorted(os.listdir(view.path)) == ["upper", "work"]
        assert stat.S_IMODE(os.stat(f"{view.path}/upper").st_mode) == 0o750
        assert os.listdir(f"{view.path}/upper") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may have any group hand itself down")
def test_an_overlay_is_the_callers_also_where_the_directory_hands_its_group_down(
    source: str, place: pathlib.Path
) -> None:
    os.chown(place, -1, 1001)
    place.chmod(0o2777)
    with DiscardedTree(source, (), overlay=True) as view:
        assert os.stat(f"{view.path}/upper").st_gid == os.getegid()


def test_without_overlays_there_is_a_copy_from_the_beginning(source: str) -> None:
    with DiscardedTree(source, (), overlay=False) as view:
        assert not view.now.overlay
        assert sorted(os.listdir(view.now.path)) == ["directory", "file"]
        made = os.stat(view.now.path).st_ino
        pathlib.Path(view.now.path, "new").touch()
        view.copy()
        view.renew()
        assert (os.stat(view.now.path).st_ino, sorted(os.listdir(view.now.path))) == (
            made,
            ["directory", "file", "new"],
        )


@pytest.mark.parametrize(("point", "overlay"), [("/directory", False), ("", True)])
def test_a_tree_with_a_mount_in_it_is_copied(
    point: str, overlay: bool, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An overlay would show the empty directory beneath the mount. The tree itself may be one."""
    mount = mounts.Mount(b"9 1 0:9 / %s rw - tmpfs tmpfs rw" % os.fsencode(source + point))
    monkeypatch.setattr(
        mounts, "mounted_beneath", lambda paths: iter([mount] if paths == (os.fsencode(source),) else [])
    )
    with DiscardedTree(source, (), overlay=True) as view:
        assert view.now.overlay is overlay


def test_changes_in_an_overlay_are_not_lost_to_a_later_copy(source: str) -> None:
    with DiscardedTree(source, (), overlay=True) as view:
        view.used = True
        with pytest.raises(SandboxSetupError, match="an earlier hook had an overlay") as caught:
            view.copy()
        assert caught.value.path == source
        assert view.now.overlay


def test_a_tree_that_is_too_large_for_a_copy_has_a_remedy(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discard, "_MOST_ENTRIES", 1)
    with pytest.raises(SandboxUnavailableError, match="too many files") as caught:
        DiscardedTree(source, (), overlay=False)
    assert "TMPDIR" in caught.value.remedy


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, text: str, number: int) -> None:
    """Let a call of the system fail if its first argument ends with a text."""
    real = getattr(os, name)

    def call(path: Any, *arguments: Any, **options: Any) -> Any:
        if os.fsdecode(path).endswith(text):
            raise OSError(number, os.strerror(number), path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, name, call)


def test_a_copy_that_cannot_be_written_is_an_error_and_leaves_nothing(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "mkdir", "/copy", errno.ENOSPC)
    with pytest.raises(SandboxSetupError) as caught:
        DiscardedTree(source, (), overlay=False)
    assert (caught.value.stage, caught.value.errno) == ("copying the source tree", errno.ENOSPC)


def test_the_next_overlay_gets_an_empty_directory_to_work_in(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with DiscardedTree(source, (), overlay=True) as view:
        os.mkdir(os.path.join(view.path, "work", "work"), 0)
        pathlib.Path(view.path, "upper/changed").touch()
        view.renew()
        assert os.listdir(f"{view.path}/work") == []
        assert os.listdir(f"{view.path}/upper") == ["changed"]
        with monkeypatch.context() as patch, pytest.raises(SandboxSetupError) as caught:
            refuse(patch, "mkdir", "work", errno.EDQUOT)
            view.renew()
        assert (caught.value.stage, caught.value.errno) == ("discarding changes", errno.EDQUOT)


def test_one_view_serves_all_hooks_of_a_tree_and_a_child_does_not_remove_it(source: str, place: pathlib.Path) -> None:
    trees = DiscardedTrees()
    view = trees.of(source, (), overlay=True)
    assert trees.of(f"{source}/../source", (), overlay=True) is view
    pid = os.fork()
    if pid == 0:
        del trees  # and with it what removes its trees
        os._exit(0 if os.listdir(place) == [os.path.basename(view.path)] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert os.path.isdir(view.path)
    trees.close()
    assert os.listdir(place) == []
    trees.close()
