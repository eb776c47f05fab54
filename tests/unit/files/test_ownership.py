from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import resource
from collections.abc import Iterator
from typing import Any

import pytest

from isolated_hooks.files import ownership
from isolated_hooks.files.ownership import Owners, give_back, survey
from isolated_hooks.files.trees import remove_tree

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another owner")
ME = (os.geteuid(), os.getegid())
UID = 61500


def make(top: pathlib.Path, *names: str) -> None:
    for name in names:
        path = top / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def owner(path: pathlib.Path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_uid, status.st_gid


def everyone(top: pathlib.Path) -> set[tuple[int, int]]:
    return {owner(path) for path in (top, *top.rglob("*"))}


def chain(top: pathlib.Path, levels: int) -> None:
    """Nest directories until their path is longer than any path may be."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("last", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


@pytest.fixture
def deep(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    top = tmp_path / "deep"
    top.mkdir()
    chain(top, 3000)
    yield top
    # pytest removes directories by recursion, which would fail here.
    with opened(tmp_path) as fd:
        remove_tree(fd, "deep")


@contextlib.contextmanager
def no_leak() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def test_a_tree_with_one_owner(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "a/b/file", "c/", "file")
    os.symlink("/", tmp_path / "link")
    with no_leak():
        assert survey((str(tmp_path),)) == Owners(ME)
    assert survey((str(tmp_path / "file"),)) == Owners(ME)
    assert survey((str(tmp_path / "a"), str(tmp_path / "c"))) == Owners(ME)


def test_the_owner_of_a_link_counts_and_not_that_of_its_target(tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other"
    make(other, "loop/")
    os.symlink("..", other / "loop/up")
    os.symlink("/proc/self", other / "out")
    assert survey((str(other),)) == Owners(ME)


@root_only
def test_a_tree_with_one_foreign_owner(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "t/a/file")
    for path in (tmp_path / "t", *(tmp_path / "t").rglob("*")):
        os.chown(path, 1001, 105)
    assert survey((str(tmp_path / "t"),)) == Owners((1001, 105))


@root_only
@pytest.mark.parametrize(("name", "ids"), [("", (7, 0)), ("a", (0, 7)), ("a/file", (70000, 0)), ("link", (7, 7))])
def test_one_file_with_another_owner_or_group_makes_a_tree_mixed(
    tmp_path: pathlib.Path, name: str, ids: tuple[int, int]
) -> None:
    tree = tmp_path / "t"
    make(tree, "a/file", "b/file")
    os.symlink("a", tree / "link")
    os.chown(tree / name, *ids, follow_symlinks=False)
    with no_leak():
        assert survey((str(tree),)) == Owners(None)


@root_only
def test_trees_with_different_owners_are_mixed(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "a/", "b/")
    os.chown(tmp_path / "b", 5, 5)
    assert survey((str(tmp_path / "a"), str(tmp_path / "b"))).single is None


@root_only
def test_the_owner_of_a_link_to_the_tree_does_not_count(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "t/file")
    for path in (tmp_path / "t", tmp_path / "t/file"):
        os.chown(path, 1001, 1001)
    os.symlink("t", tmp_path / "link")
    assert survey((str(tmp_path / "link"),)) == Owners((1001, 1001))


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_directory_that_we_cannot_look_into_is_named(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "t/closed/file", "t/file")
    os.chmod(tmp_path / "t/closed", 0)
    try:
        found = survey((str(tmp_path / "t"),))
    finally:
        os.chmod(tmp_path / "t/closed", 0o700)
    assert found == Owners(ME, f"{tmp_path}/t/.../closed")


@pytest.mark.parametrize("name", ["", "closed"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_directory_that_is_refused_may_have_other_owners(
    name: str, number: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "t/closed/file", "t/file")
    refuse_to_open(monkeypatch, name or f"{tmp_path}/t", number)
    with no_leak():
        assert survey((str(tmp_path / "t"),)) == Owners(ME, f"{tmp_path}/t/.../closed" if name else f"{tmp_path}/t")


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.ELOOP])
def test_a_directory_that_another_process_replaces_has_no_owner_any_more(
    number: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "t/closed/file", "t/file")
    refuse_to_open(monkeypatch, "closed", number)
    with no_leak():
        assert survey((str(tmp_path / "t"),)) == Owners(ME)


@pytest.mark.parametrize("name", ["", "closed"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EIO])
def test_load_says_nothing_about_the_owners(
    name: str, number: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "t/closed/file", "t/file")
    with monkeypatch.context() as patch, no_leak(), pytest.raises(OSError) as caught:
        refuse_to_open(patch, name or f"{tmp_path}/t", number)
        survey((str(tmp_path / "t"),))
    assert caught.value.errno == number
    assert survey((str(tmp_path / "t"),)) == Owners(ME), "it was remembered"


def refuse_to_open(monkeypatch: pytest.MonkeyPatch, refused: str, number: int) -> None:
    """Let the opening of one name fail with an error: modes do not bind root."""
    real = os.open

    def opened(name: Any, *arguments: Any, **options: Any) -> int:
        if name == refused:
            raise OSError(number, os.strerror(number))
        return real(name, *arguments, **options)

    monkeypatch.setattr(os, "open", opened)


def test_a_file_that_is_gone_when_we_look_at_it_has_no_owner(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "t/a", "t/b", "t/c/")
    real = os.scandir

    @contextlib.contextmanager
    def scandir(fd: int) -> Iterator[list[os.DirEntry[str]]]:
        with real(fd) as entries:
            found = list(entries)
        for name in ("a", "c"):
            remove_tree(fd, name)
        monkeypatch.setattr(os, "scandir", real)
        yield found

    monkeypatch.setattr(os, "scandir", scandir)
    assert survey((str(tmp_path / "t"),)) == Owners(ME)
    assert os.listdir(tmp_path / "t") == ["b"]


def test_only_the_last_trees_are_remembered(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may build thousands of packages."""
    monkeypatch.setattr(ownership, "_known", {})
    monkeypatch.setattr(ownership, "_KNOWN_TREES", 2)
    for name in ("a", "b", "c"):
        make(tmp_path, f"{name}/")
        assert survey((str(tmp_path / name),)) == Owners(ME)
    assert [os.path.basename(top) for top, *_ in ownership._known] == ["b", "c"]


def test_a_missing_tree_is_named(tmp_path: pathlib.Path) -> None:
    assert survey((str(tmp_path / "none"),)) == Owners(None, f"{tmp_path}/none")
    make(tmp_path, "t/file")
    assert survey((str(tmp_path / "t"), str(tmp_path / "none"))) == Owners(ME, f"{tmp_path}/none")


def test_a_tree_deeper_than_any_path_is_surveyed(deep: pathlib.Path) -> None:
    """A hook that nests directories must not leave the next one with the rights for a tree of unknown owners."""
    with no_leak(), few_descriptors():
        assert survey((str(deep),)) == Owners(ME)


@root_only
def test_an_owner_at_the_bottom_of_a_deep_tree_is_found(deep: pathlib.Path) -> None:
    here = os.open(deep, os.O_RDONLY)
    for _ in range(3000):
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.chown("last", 7, 7, dir_fd=here)
    os.close(here)
    assert survey((str(deep),)) == Owners(None)


def test_a_tree_of_the_callers_own_is_walked_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "t/a/file")
    walked: list[str] = []
    walk = ownership._walk_owners
    monkeypatch.setattr(ownership, "_walk_owners", lambda top, status: walked.append(top) or walk(top, status))
    for _ in range(3):
        assert survey((str(tmp_path / "t"),)) == Owners(ME)
    assert walked == [str(tmp_path / "t")]
    os.rename(tmp_path / "t", tmp_path / "old")
    make(tmp_path, "t/a/file")
    survey((str(tmp_path / "t"),))
    assert len(walked) == 2, "another directory of the same name"


@root_only
def test_a_tree_of_another_owner_is_walked_again(tmp_path: pathlib.Path) -> None:
    """A frontend that is root adds files of its own, such as fromager's PKG-INFO."""
    make(tmp_path, "t/a/file")
    for path in (tmp_path / "t", *(tmp_path / "t").rglob("*")):
        os.chown(path, 1001, 105)
    assert survey((str(tmp_path / "t"),)) == Owners((1001, 105))
    make(tmp_path, "t/PKG-INFO")
    assert survey((str(tmp_path / "t"),)) == Owners(None)
    (tmp_path / "t/PKG-INFO").unlink()
    assert survey((str(tmp_path / "t"),)) == Owners(None), "the hook must not choose"


@root_only
def test_files_of_the_throw_away_user_are_given_to_the_caller_and_no_other(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "t/new/deep/file", "t/old/file", "t/old/new", "t/foreign")
    for name in ("new", "new/deep", "new/deep/file", "old/new"):
        os.chown(tmp_path / "t" / name, UID, UID)
    os.chown(tmp_path / "t/foreign", 1001, 105)
    os.chown(tmp_path / "t/old/file", 0, UID)  # a group alone does not prove who created the file
    with opened(tmp_path / "t") as fd, no_leak():
        give_back(fd, UID, owner=(12, 34))
    assert {owner(tmp_path / "t" / n) for n in ("new", "new/deep", "new/deep/file", "old/new")} == {(12, 34)}
    assert owner(tmp_path / "t/foreign") == (1001, 105)
    assert owner(tmp_path / "t/old/file") == (0, UID)
    assert owner(tmp_path / "t") == (0, 0)


@root_only
def test_no_link_is_followed_when_files_are_given_back(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "outside/dir/file", "t/")
    for name in ("outside", "outside/dir", "outside/dir/file"):
        os.chown(tmp_path / name, UID, UID)
    os.symlink("../outside", tmp_path / "t/directory")
    os.symlink("../outside/dir/file", tmp_path / "t/file")
    for name in ("directory", "file"):
        os.chown(tmp_path / "t" / name, UID, UID, follow_symlinks=False)
    with opened(tmp_path / "t") as fd:
        give_back(fd, UID, owner=(0, 0))
    assert everyone(tmp_path / "outside") == {(UID, UID)}
    assert everyone(tmp_path / "t") == {(0, 0)}  # the links themselves


@root_only
def test_giving_files_back_creates_no_set_user_id_program_of_the_caller(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "t/program")
    os.chown(tmp_path / "t/program", UID, UID)
    os.chmod(tmp_path / "t/program", 0o6755)
    with opened(tmp_path / "t") as fd:
        give_back(fd, UID, owner=(0, 0))
    assert os.stat(tmp_path / "t/program").st_mode & 0o7777 == 0o755


@root_only
def test_special_files_are_given_back_without_being_opened(tmp_path: pathlib.Path) -> None:
    (tmp_path / "t").mkdir()
    os.mkfifo(tmp_path / "t/fifo")
    os.chown(tmp_path / "t/fifo", UID, UID)
    make(tmp_path, "t/closed/file")
    os.chown(tmp_path / "t/closed/file", UID, UID)
    os.chmod(tmp_path / "t/closed", 0)
    with opened(tmp_path / "t") as fd:
        give_back(fd, UID, owner=(0, 0))
    assert everyone(tmp_path / "t") == {(0, 0)}


@root_only
def test_names_of_any_bytes_are_given_back(tmp_path: pathlib.Path) -> None:
    top = os.fsencode(tmp_path)
    for name in (b"\xff\xfe", b"a\nb", b" ", b"-rf", b"x" * 255):
        os.close(os.open(top + b"/" + name, os.O_CREAT | os.O_WRONLY))
        os.chown(top + b"/" + name, UID, UID)
    with opened(tmp_path) as fd:
        give_back(fd, UID, owner=(0, 0))
    assert {os.lstat(top + b"/" + name).st_uid for name in os.listdir(top)} == {0}


@contextlib.contextmanager
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@root_only
def test_many_sibling_directories_do_not_exhaust_the_descriptors(tmp_path: pathlib.Path) -> None:
    make(tmp_path, *(f"t/{number}/file" for number in range(300)))
    for path in (tmp_path / "t").rglob("*"):
        os.chown(path, UID, UID)
    with opened(tmp_path / "t") as fd, few_descriptors():
        give_back(fd, UID, owner=(0, 0))
    assert everyone(tmp_path / "t") == {(0, 0)}


@pytest.mark.slow
@root_only
def test_a_tree_deeper_than_any_path_is_given_back(tmp_path: pathlib.Path, deep: pathlib.Path) -> None:
    here = os.open(deep, os.O_RDONLY)
    for _ in range(3000):
        os.chown("d", UID, UID, dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.chown("last", UID, UID, dir_fd=here)
    with opened(deep) as fd, few_descriptors():
        give_back(fd, UID, owner=(0, 0))
    assert os.stat("last", dir_fd=here).st_uid == os.fstat(here).st_uid == 0
    os.close(here)
