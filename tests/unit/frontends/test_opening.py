"""What a process must not open in a tree that hooks have written to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isolated_hooks.files.steered import Trees
from isolated_hooks.frontends.opening import refusal, watching


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("text")
    (tree / "inside").symlink_to("file")
    (tree / "out").symlink_to("../outside")
    (tree / "up").symlink_to("..")
    os.mkfifo(tree / "fifo")
    (tree / "device").symlink_to("/dev/null")
    trees = Trees((str(tree),), ())
    monkeypatch.setattr("isolated_hooks.files.steered._recorded", trees)
    return tree


def test_what_is_refused(tree: Path) -> None:
    trees = Trees((str(tree),), ())
    written = {name: refusal(trees, f"{tree}/{name}", os.O_WRONLY | os.O_CREAT) for name in (*os.listdir(tree), "up/x")}
    assert {name for name, text in written.items() if text} == {"out", "up", "fifo", "device", "up/x"}
    read = {name: refusal(trees, f"{tree}/{name}".encode(), os.O_RDONLY) for name in os.listdir(tree)}
    assert {name for name, text in read.items() if text} == {"fifo", "device"}
    assert refusal(trees, f"{tree}/fifo", os.O_RDONLY | os.O_NONBLOCK) is None
    assert refusal(trees, 3, os.O_WRONLY) is None
    assert refusal(trees, "/dev/null", os.O_WRONLY) is None


def test_nothing_is_opened(tree: Path) -> None:
    """A dangling link, to which a frontend would write."""
    with watching(OSError):
        for name, mode in (("out", "w"), ("fifo", "r"), ("fifo", "w")):
            with pytest.raises(OSError, match="a hook may have made"):
                (tree / name).open(mode)
        (tree / "inside").write_text("more")
        (tree.parent / "other").write_text("more")
    (tree / "out").write_text("more")
    assert (tree.parent / "outside").read_text() == "more"
