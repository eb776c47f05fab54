"""Which files an index of git names, as git itself writes it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from isolated_hooks.files import gitindex
from isolated_hooks.files.gitindex import tracked

GIT = shutil.which("git") or ""
pytestmark = pytest.mark.skipif(not GIT, reason="git is not installed")
# From a long name to a short one, git writes more than 127 bytes to remove, for which a version 4 takes two bytes.
LONG = "deep/" + "x" * 5000
NAMES = ("a", "a.txt", "deep/file", LONG, "deep/xy", "sub/one/two", "sub/one-more", "ä/ö", "z")
NOT = ("b", "a.tx", "dee", "deep/x", "sub/on", "sub/one/tw", "sub/one/two/three", "ö", "two", "x", "eep/file", "Z")
ABOVE = ("deep", "sub", "sub/one", "ä")


def git(directory: Path, *arguments: str, said: str = "") -> None:
    environ = {"HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run([GIT, *arguments], cwd=directory, env=environ, input=said.encode(), check=True)


@pytest.fixture(scope="module", params=[2, 3, 4])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of each version with :data:`NAMES` in it."""
    tree = tmp_path_factory.mktemp("tree")
    git(tree, "init", "-q")
    entries = "".join(f"100644 {'0123456789' * 4} 0\t{name}\0" for name in NAMES)
    git(tree, "update-index", "-z", "--index-info", said=entries)
    if request.param == 3:  # only a flag that the others lack makes git choose it
        (tree / "ä").mkdir()
        (tree / "ä/new").touch()
        git(tree, "add", "--intent-to-add", "ä/new")
    else:
        git(tree, "update-index", "--index-version", str(request.param))
    found = tree / ".git/index"
    assert found.read_bytes()[4:8] == request.param.to_bytes(4, "big")
    return found


def test_what_git_has_in_its_index_is_found_and_nothing_else(index: Path) -> None:
    assert tracked(os.fspath(index), (*NAMES, *ABOVE, *NOT)) == {*NAMES, *ABOVE}
    new = tracked(os.fspath(index), ("ä/new", "ä/ne", "ä/new/x"))
    assert new == ({"ä/new"} if index.read_bytes()[7] == 3 else set())


def test_an_index_that_is_cut_or_spoilt_names_nothing_that_is_not_there(index: Path, tmp_path: Path) -> None:
    data, chance = index.read_bytes(), random.Random(0)
    broken = tmp_path / "index"
    at = data.index(b"x" * 5000)
    # In the beginning, then around the number of bytes to remove of the entry after the long name.
    for number in (*range(0, 300, 7), *range(at + 4990, at + 5100, 3)):
        broken.write_bytes(data[:number])
        assert tracked(os.fspath(broken), (*NAMES, *ABOVE, *NOT)) <= {*NAMES, *ABOVE}, number
    for _ in range(40):
        spoilt = bytearray(data)
        for _ in range(3):
            spoilt[chance.randrange(12, len(data))] = chance.randrange(256)
        broken.write_bytes(spoilt)
        tracked(os.fspath(broken), NAMES)


def test_a_number_without_an_end_is_read_to_the_end_of_the_index(tmp_path: Path) -> None:
    entry = bytes(60) + b"\0\1"
    (tmp_path / "index").write_bytes(b"DIRC\0\0\0\4\0\0\0\2" + entry + b"\x80\x80\x80")
    assert tracked(os.fspath(tmp_path / "index"), ("a",)) == frozenset()


def test_what_is_no_index_names_nothing(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = index.read_bytes()
    for name, content in (("magic", b"DIRX" + data[4:]), ("version", data[:7] + b"\5" + data[8:]), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        assert tracked(os.fspath(tmp_path / name), NAMES) == frozenset()
    os.mkfifo(tmp_path / "fifo")
    for name in ("missing", "fifo", "."):
        assert tracked(os.fspath(tmp_path / name), NAMES) == frozenset()
    monkeypatch.setattr(gitindex, "_LARGEST", len(data) - 1)
    assert tracked(os.fspath(index), NAMES) == frozenset()


def test_an_index_that_cannot_be_opened_names_nothing(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    gitindex._tracked.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert tracked(os.fspath(index), NAMES) == frozenset()
    gitindex._tracked.cache_clear()


def test_a_new_index_is_read_again(index: Path, tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(index.read_bytes())
    assert tracked(os.fspath(path), ("a", "b")) == {"a"}
    (tmp_path / "new").write_bytes(index.read_bytes().replace(b"sub/one/two\0", b"sub/ONE/two\0"))
    (tmp_path / "new").replace(path)
    if index.read_bytes()[7] != 4:  # where names are whole
        assert tracked(os.fspath(path), ("sub/one/two", "sub/ONE")) == {"sub/ONE"}
