"""What changed in a tree: which names, in which order, and how much work that may be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks.files import changes
from isolated_hooks.files.changes import Listing, TreeChanges, changes_between, changes_over, list_tree


def listed(path: Path, **bounds: float) -> Listing:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return list_tree(fd, **bounds)  # type: ignore[arg-type]
    finally:
        os.close(fd)


def test_new_changed_and_removed_names(tmp_path: Path) -> None:
    for name in ("same", "changed", "mode", "replaced", "removed", "kind"):
        (tmp_path / name).write_text(name)
    (tmp_path / "directory/deep").mkdir(parents=True)
    before = listed(tmp_path)
    assert changes_between(before, before) == TreeChanges()
    times = (tmp_path / "changed").stat()
    (tmp_path / "changed").write_text("CHANGED")
    os.utime(tmp_path / "changed", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "mode").chmod(0o600)
    (tmp_path / "new").write_text("replaced")
    (tmp_path / "new").replace(tmp_path / "replaced")
    (tmp_path / "removed").unlink()
    (tmp_path / "kind").unlink()
    (tmp_path / "kind").mkdir()
    (tmp_path / "directory/deep/file").touch()
    (tmp_path / "link").symlink_to("/")
    found = changes_between(before, listed(tmp_path))
    assert found.new == ("directory/deep/file", "link")
    assert found.changed == ("changed", "kind", "mode", "replaced")
    assert found.removed == ("removed",)
    assert (found.counts, found.cut) == ((2, 4, 1), "")


def test_what_other_programs_obey_comes_first(tmp_path: Path) -> None:
    before = listed(tmp_path)
    for name in ("a", "conftest.py", "z/.git/hooks/post-checkout", "z/pyproject.toml", ".github/workflows/ci.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".git/objects/ab").mkdir(parents=True)
    found = changes_between(before, listed(tmp_path)).new
    assert [name for name in found if ".git/" in name][:3] == [".git/", ".git/objects/", "z/.git/"]
    assert found.index("z/.git/hooks/post-checkout") < found.index(".github/") < found.index("conftest.py")
    assert found.index("z/pyproject.toml") < found.index("a")
    assert ".git/objects/ab/" not in found


def test_a_listing_stops_at_each_bound_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}").touch()
    (tmp_path / "deep/deeper").mkdir(parents=True)
    few = listed(tmp_path, entries=10)
    assert (len(few.entries), few.cut) == (10, "there are more than 10 entries")
    # What a listing did not reach is neither new nor gone.
    whole = listed(tmp_path)
    assert changes_between(few, whole).counts == changes_between(whole, few).counts == (0, 0, 0)
    assert changes_between(few, whole).cut == few.cut
    assert listed(tmp_path, seconds=-1.0).cut == "it took too long"
    monkeypatch.setattr(changes, "MAX_DEPTH", 1)
    assert "deeper than 1 " in listed(tmp_path).cut


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    """Not even where the lower layer has a link and the upper one a directory."""
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    (upper / "to").mkdir(parents=True)
    (upper / "to/file").touch()
    lower.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").touch()
    (lower / "to").symlink_to(tmp_path / "elsewhere")
    fd = os.open(lower, os.O_RDONLY)
    found = changes_over(Listing({}, frozenset([b""]), ""), listed(upper), fd)
    os.close(fd)
    assert (found.new, found.changed) == (("to/", "to/file"), ())


def test_a_directory_that_cannot_be_read_is_named_and_what_is_beneath_it_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook may take its rights away, or another process may remove it."""
    for name in ("closed/inner", "open"):
        (tmp_path / name).mkdir(parents=True)
    whole = listed(tmp_path)
    real = os.open

    def refuse(name: str | bytes, *arguments: Any, **options: Any) -> int:
        if name == b"closed":
            raise PermissionError(13, "Permission denied")
        return real(name, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    found = listed(tmp_path)
    assert found.cut == "a directory cannot be read: closed"
    assert set(found.entries) == {b"closed", b"open"}
    assert changes_between(whole, found) == TreeChanges(cut=found.cut)


def test_a_directory_that_hides_the_one_beneath_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """overlayfs(5): a hook has removed it and made another one of its name, which has an extended attribute then."""
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for name in ("same", "replaced", "earlier"):
        (upper / name).mkdir(parents=True)
        (lower / name).mkdir(parents=True)
    opaque = {"earlier"}

    def getxattr(fd: int, name: bytes) -> bytes:
        assert name == b"user.overlay.opaque"
        if os.path.basename(os.readlink(f"/proc/self/fd/{fd}")) in opaque:
            return b"y"
        raise OSError(61, "No data available")

    monkeypatch.setattr(os, "getxattr", getxattr)
    before = listed(upper)
    opaque.add("replaced")
    fd = os.open(lower, os.O_RDONLY)
    try:
        found = changes_over(before, listed(upper), fd)
        first = changes_over(Listing({}, frozenset([b""]), ""), listed(upper), fd)
    finally:
        os.close(fd)
    assert found == TreeChanges(changed=("replaced/",), counts=(0, 1, 0))
    assert first.changed == ("earlier/", "replaced/")
