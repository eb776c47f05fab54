"""Digests of trees that others write to."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from isolated_hooks.files.digests import directory_digest, file_digest


def _as_intoto_defines_it(top: Path) -> str:
    script = "find . -type f | cut -c3- | LC_ALL=C sort | xargs -r -d '\\n' sha256sum | sha256sum | cut -f1 -d' '"
    return subprocess.run(["sh", "-c", script], cwd=top, check=True, capture_output=True, text=True).stdout.strip()


def _tree(top: Path) -> Path:
    for name in ("a", "b/c", "b.d", "b/é x", "Z", "b/back\\slash", "deep/er/still"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (top / "empty").mkdir()
    return top


def test_the_digest_of_a_directory_is_that_of_in_toto(tmp_path: Path) -> None:
    top = _tree(tmp_path / "top")
    assert directory_digest(os.fspath(top)) == _as_intoto_defines_it(top)
    (top / "Z").write_text("changed")
    assert directory_digest(os.fspath(top)) == _as_intoto_defines_it(top)


def test_links_and_what_is_no_file_do_not_count_and_nothing_waits(tmp_path: Path) -> None:
    top = _tree(tmp_path / "top")
    before = directory_digest(os.fspath(top))
    (tmp_path / "outside").write_text("outside")
    (top / "link").symlink_to(tmp_path / "outside")
    (top / "linked").symlink_to(tmp_path)
    (top / "round").symlink_to(top)
    os.mkfifo(top / "fifo")
    assert directory_digest(os.fspath(top)) == before
    (top / ".git").mkdir()
    (top / ".git/HEAD").write_text("x")
    (top / "b/.git").write_text("x")
    assert directory_digest(os.fspath(top), without=frozenset((b".git",))) == _as_intoto_defines_it_without(top)


def _as_intoto_defines_it_without(top: Path) -> str:
    (top / ".git/HEAD").unlink()
    return _as_intoto_defines_it(top)


def test_a_name_with_a_line_feed_adds_no_line(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    digest = hashlib.sha256(b"").hexdigest()
    for top, names in ((one, ["a", "b"]), (other, [f"a\n{digest}  b"])):
        top.mkdir()
        for name in names:
            (top / name).touch()
    assert directory_digest(os.fspath(one)) != directory_digest(os.fspath(other))


def test_only_a_regular_file_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    assert file_digest(os.fspath(tmp_path / "file")) == hashlib.sha256(b"x").hexdigest()
    for name in ("link", "fifo", "."):
        assert file_digest(os.fspath(tmp_path / name)) is None
    with pytest.raises(FileNotFoundError):
        file_digest(os.fspath(tmp_path / "missing"))
