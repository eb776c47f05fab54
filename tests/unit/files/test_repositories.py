"""Repositories in a tree are found near its top, and those that are new are set aside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.files import repositories
from isolated_hooks.files.repositories import MOST_DIRECTORIES, find, outgrown, set_aside


def _bare(path: Path) -> Path:
    for name in ("objects", "refs"):
        (path / name).mkdir(parents=True)
    (path / "HEAD").write_text("ref: refs/heads/main\n")
    return path


def test_every_kind_of_repository_is_found(tmp_path: Path) -> None:
    _bare(tmp_path / ".git")
    _bare(tmp_path / "a/b/.git")
    _bare(tmp_path / "bare")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/.git").write_text("gitdir: x\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/.git").symlink_to("../nowhere")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/HEAD").touch()
    (tmp_path / "linked/commondir").write_text("../a")
    (tmp_path / "HEAD").touch()  # alone it is no repository
    found = find(str(tmp_path))
    assert found.complete
    assert found.paths == tuple(f"{tmp_path}/{n}" for n in (".git", "a/b/.git", "bare", "c/.git", "d/.git", "linked"))


def test_links_are_not_followed(tmp_path: Path) -> None:
    _bare(tmp_path / "outside/.git")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to("../outside")
    assert find(str(tmp_path / "tree")).paths == ()


def test_a_directory_that_has_not_changed_is_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    find(str(tmp_path))
    listed: list[str] = []
    directories = repositories._directories
    monkeypatch.setattr(repositories, "_directories", lambda path: listed.append(path) or directories(path))
    assert find(str(tmp_path)).paths == ()
    assert listed == []
    os.utime(tmp_path / "b", ns=(0, 0))  # a hook may set times, but not the time of the change
    (tmp_path / "a/.git").mkdir()
    os.utime(tmp_path / "a", ns=(0, 0))
    assert find(str(tmp_path)).paths == (f"{tmp_path}/a/.git",)


def test_the_search_has_a_bound_and_says_so(tmp_path: Path) -> None:
    for number in range(MOST_DIRECTORIES + 5):
        (tmp_path / f"{number:04}/deep").mkdir(parents=True)
    _bare(tmp_path / "0000/deep/.git")
    found = find(str(tmp_path))
    assert not found.complete
    assert found.paths == ()
    assert find(str(tmp_path), 10_000).complete


def test_many_names_in_one_directory_do_not_hide_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repositories, "_MOST_ENTRIES", 10)
    for number in range(50):
        (tmp_path / f"{number}").touch()
    (tmp_path / ".git").mkdir()
    found = find(str(tmp_path))
    assert found.paths == (f"{tmp_path}/.git",)
    assert not found.complete


def test_a_tree_that_a_hook_makes_too_large_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repositories, "_MOST_NEW", 200)
    before = find(os.fspath(tmp_path))
    assert not outgrown(before)
    for number in range(200):
        (tmp_path / str(number)).mkdir()
    assert outgrown(before)
    assert not outgrown(find(os.fspath(tmp_path)))  # it was so before the hook


def test_only_what_is_new_is_set_aside(tmp_path: Path) -> None:
    _bare(tmp_path / "old/.git")
    (tmp_path / "link").mkdir()
    (tmp_path / "link/.git").symlink_to("one")
    before = find(str(tmp_path))
    for name in (".git", "new/.git", "bare", "new/.git/modules/x"):
        _bare(tmp_path / name)
    (tmp_path / "file").mkdir()
    (tmp_path / "file/.git").write_text("gitdir: ../bare\n")
    (tmp_path / "link/.git").unlink()
    (tmp_path / "link/.git").symlink_to("two")
    moved = set_aside(before)
    names = [os.path.relpath(path, tmp_path) for path in moved]
    assert {".git", "bare/HEAD", "file/.git", "link/.git", "new/.git"} <= set(names)
    assert len(names) == 6, "one repository is in another"
    assert find(str(tmp_path)).paths == (f"{tmp_path}/link/.git", f"{tmp_path}/old/.git")
    assert os.readlink(tmp_path / "link/.git") == "one"
    assert set_aside(before) == ()
    (aside,) = tmp_path.glob(".git.set-aside-*")
    assert sorted(os.listdir(aside)) == ["HEAD.set-aside", "objects", "refs"]


def test_what_grows_during_the_hook_is_searched_too(tmp_path: Path) -> None:
    before = find(str(tmp_path))
    for number in range(MOST_DIRECTORIES + 5):
        (tmp_path / f"{number:04}").mkdir()
    _bare(tmp_path / f"{MOST_DIRECTORIES:04}/x/.git")
    assert set_aside(before) == (f"{tmp_path}/{MOST_DIRECTORIES:04}/x/.git",)


@pytest.mark.skipif(os.geteuid() == 0, reason="modes do not bind root")
def test_modes_do_not_keep_a_repository_in_its_place(tmp_path: Path) -> None:
    before = find(str(tmp_path))
    _bare(tmp_path / "a/.git")
    for name, mode in (("a/.git", 0o000), ("a", 0o111)):
        (tmp_path / name).chmod(mode)
    assert set_aside(before) == (f"{tmp_path}/a/.git",)
    assert find(str(tmp_path)).paths == ()


def test_one_that_cannot_be_renamed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = find(str(tmp_path))
    _bare(tmp_path / ".git")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(UntrustedResultError, match="cannot be renamed"):
        set_aside(before)


def test_a_directory_that_cannot_be_listed_still_has_a_repository_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook takes away its own right to read it, and git needs none to enter ``.git``."""
    _bare(tmp_path / "a/.git")
    real = os.scandir

    def scandir(path: str) -> object:
        if path == f"{tmp_path}/a":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find(str(tmp_path))
    assert found.paths == (f"{tmp_path}/a/.git",)
    assert not found.complete


def test_repositories_in_one_another_without_end_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that loses its HEAD shows those in it."""
    monkeypatch.setattr(repositories, "_MOST_NESTED", 3)
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    few, many = find(str(tmp_path / "few")), find(str(tmp_path / "many"))
    for name in ("few/1", "few/1/2", "many/1", "many/1/2", "many/1/2/3"):
        _bare(tmp_path / name)
    assert set_aside(few) == (f"{tmp_path}/few/1/2/HEAD", f"{tmp_path}/few/1/HEAD")
    with pytest.raises(UntrustedResultError, match="in one another"):
        set_aside(many)


def test_what_is_known_of_directories_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repositories, "_known", {})
    monkeypatch.setattr(repositories, "_KNOWN_DIRECTORIES", 10)
    for number in range(30):
        (tmp_path / f"{number:02}").mkdir()
    _bare(tmp_path / "29/.git")
    for _ in range(2):
        assert find(str(tmp_path)).paths == (f"{tmp_path}/29/.git",)
        assert len(repositories._known) <= 10
