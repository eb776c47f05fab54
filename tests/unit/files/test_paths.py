from __future__ import annotations

import os
import pathlib

import pytest
from support.fakes import DEVICE, DIR, FIFO, FakeFilesystem, Link, no_hang

from isolated_hooks.files.paths import Filesystem, RealFilesystem, Remembered, above, is_within, resolve

TREE = FakeFilesystem(
    {
        "/usr/bin/python3": Link("python3.12"),
        "/usr/bin/python3.12": "",
        "/bin": Link("usr/bin"),
        "/opt/py": Link("/usr"),
        "/data/deep/here/file": "",
        "/data/up": Link("../usr/../data/deep"),
        "/data/root": Link("/"),
        "/data/dots": Link("./deep/./here//"),
        "/data/dangling": Link("nothing/here"),
        "/data/above": Link("../../../../../usr"),
    }
)


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [
        ("/a", "/a", True),
        ("/a/b", "/a", True),
        ("/ab", "/a", False),
        ("/a", "/ab", False),
        ("/a", "/a/b", False),
        ("/a.b", "/a", False),
        ("/a/b", "/a/", True),
        ("/anything/at/all", "/", True),
        ("/", "/", True),
        ("/", "/a", False),
        ("/ä\n b/c", "/ä\n b", True),
    ],
)
def test_within_compares_whole_components(path: str, directory: str, expected: bool) -> None:
    assert is_within(path, directory) is expected


@pytest.mark.parametrize(
    ("path", "real", "links"),
    [
        ("/", "/", {}),
        ("/usr/bin/python3.12", "/usr/bin/python3.12", {}),
        ("//usr///bin/./python3.12/", "/usr/bin/python3.12", {}),
        ("/usr/bin/python3", "/usr/bin/python3.12", {"/usr/bin/python3": "python3.12"}),
        ("/bin/python3", "/usr/bin/python3.12", {"/bin": "usr/bin", "/usr/bin/python3": "python3.12"}),
        ("/opt/py/bin", "/usr/bin", {"/opt/py": "/usr"}),
        ("/data/up/here", "/data/deep/here", {"/data/up": "../usr/../data/deep"}),
        ("/data/root/usr", "/usr", {"/data/root": "/"}),
        ("/data/dots/file", "/data/deep/here/file", {"/data/dots": "./deep/./here//"}),
        ("/data/above/bin", "/usr/bin", {"/data/above": "../../../../../usr"}),
        ("/../../usr/bin/..", "/usr", {}),
        # ".." after a link is the parent of the link's target, not of the link, path_resolution(7).
        ("/opt/py/../data", "/data", {"/opt/py": "/usr"}),
        ("/data/dots/..", "/data/deep", {"/data/dots": "./deep/./here//"}),
    ],
)
def test_a_path_resolves_as_in_the_kernel(path: str, real: str, links: dict[str, str]) -> None:
    assert resolve(TREE, path) == (real, links)
    assert TREE.real(path) == real


def test_a_missing_path_has_no_real_path_but_returns_the_links_on_the_way() -> None:
    assert resolve(TREE, "/none") == (None, {})
    assert resolve(TREE, "/usr/none/deeper") == (None, {})
    assert resolve(TREE, "/bin/none") == (None, {"/bin": "usr/bin"})
    assert resolve(TREE, "/data/dangling") == (None, {"/data/dangling": "nothing/here"})


@pytest.mark.parametrize(
    "entries",
    [
        {"/loop": Link("loop")},
        {"/loop": Link("/loop")},
        {"/loop": Link("other"), "/other": Link("loop")},
        {"/loop": Link("loop/deeper")},
        {"/loop": Link("d/back"), "/d/back": Link("../loop")},
        {f"/{'loop' if i == 0 else i}": Link(str(i + 1)) for i in range(41)} | {"/41": "end"},
    ],
)
def test_a_loop_of_links_has_no_real_path(entries: dict[str, Link]) -> None:
    with no_hang():
        assert resolve(FakeFilesystem(entries), "/loop")[0] is None


def test_forty_links_are_followed_each_time() -> None:
    chain = FakeFilesystem({f"/{i}": Link(str(i + 1)) for i in range(40)} | {"/40": "end"})
    assert resolve(chain, "/0")[0] == "/40"
    here = FakeFilesystem({"/d/here": Link("."), "/d/x": ""})
    assert resolve(here, "/d" + "/here" * 40 + "/x")[0] == "/d/x"
    assert resolve(here, "/d" + "/here" * 41 + "/x")[0] is None


def test_links_that_double_at_each_step_are_abandoned() -> None:
    bomb = {f"/d/{i}": Link(f"{i + 1}/../{i + 1}") for i in range(60)}
    with no_hang():
        assert resolve(FakeFilesystem({**bomb, "/d/60": DIR}), "/d/0")[0] is None


def test_the_fake_answers_like_the_real_filesystem(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").write_text("text")
    os.mkfifo(tmp_path / "fifo")
    os.symlink("d", tmp_path / "link")
    os.symlink("/dev/null", tmp_path / "device")
    os.symlink("loop", tmp_path / "loop")
    (tmp_path / "bytes").write_bytes(b"\xff\n")
    top = str(tmp_path)
    fake = FakeFilesystem(
        {
            f"{top}/d/file": "text",
            f"{top}/fifo": FIFO,
            f"{top}/link": Link("d"),
            f"{top}/device": Link("/dev/null"),
            f"{top}/loop": Link("loop"),
            f"{top}/bytes": "\udcff\n",
            "/dev/null": DEVICE,
        }
    )
    both: tuple[Filesystem, ...] = (RealFilesystem(), fake)
    for name in (
        "",
        "d",
        "d/file",
        "fifo",
        "link",
        "device",
        "loop",
        "bytes",
        "link/file",
        "none",
        "d/file/x",
        "loop/x",
    ):
        path = f"{top}/{name}"
        for ask in ("kind", "names", "text"):
            real, faked = (getattr(filesystem, ask)(path) for filesystem in both)
            assert real == faked, (ask, name)
    assert both[0].readlink(f"{top}/link") == both[1].readlink(f"{top}/link") == "d"
    assert both[0].size(f"{top}/d/file") == both[1].size(f"{top}/d/file") == 4
    assert both[0].kind("/dev/null") == both[1].kind("/dev/null") == "device"


def test_reading_text_neither_blocks_nor_reads_without_end(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "long").write_bytes(b"x" * 100_000)
    with no_hang():
        assert RealFilesystem().text(str(tmp_path / "fifo")) == ""
    assert RealFilesystem().text("/dev/zero") == ""
    assert len(RealFilesystem().text(str(tmp_path / "long"))) == 65536


def test_remembered_answers_as_the_filesystem_did_when_it_was_first_asked() -> None:
    before = FakeFilesystem({"/a/file": "text", "/link": Link("a"), "/a/up": Link("../a/file")})
    changing = FakeFilesystem(before.entries)
    remembered = Remembered(changing)
    asked = ("/a/file", "/link/up", "/a/none/..", "/link", "//a//file/", "/")
    first = [(resolve(remembered, p), remembered.kind(p), remembered.names(p)) for p in asked]
    assert first == [(resolve(before, p), before.kind(p), before.names(p)) for p in asked]
    changing.entries.clear()
    assert [(resolve(remembered, p), remembered.kind(p), remembered.names(p)) for p in asked] == first
    assert resolve(Remembered(FakeFilesystem({})), "/a/file")[0] is None


@pytest.mark.parametrize("path", ["/", "/a", "/a/b/c", "/a//b", "/a/b/"])
def test_above_yields_what_a_path_is_within_the_nearest_first(path: str) -> None:
    found = list(above(path))
    assert found == sorted(found, key=len, reverse=True)
    assert all(is_within(path, directory) for directory in found)
    assert {d for d in ("/", "/a", "/a/b", "/a/b/c", "/ab") if is_within(path, d)} <= set(found)


def test_what_is_not_there_has_nothing_in_it(tmp_path: pathlib.Path) -> None:
    """Between two questions of a plan, another process may remove the path."""
    filesystem, path = RealFilesystem(), str(tmp_path / "gone")
    assert filesystem.links(path) == filesystem.private_near(path, 10) == filesystem.needs_of_programs(path, 10) == ()
    assert filesystem.named_near(path, frozenset(("file",)), 10) == filesystem.private(path) == ()
    assert not filesystem.is_private(path)


def test_what_others_may_not_read_is_found_unless_the_top_says_that_already(tmp_path: pathlib.Path) -> None:
    top = tmp_path / "top"
    (top / "sub/closed").mkdir(parents=True)
    for name, mode in (("key", 0o600), ("sub/key", 0o640), ("sub/open", 0o644), (".netrc", 0o644)):
        (top / name).touch()
        (top / name).chmod(mode)
    (top / "sub/closed").chmod(0o700)
    private, names = [f"{top}/key", f"{top}/sub/closed", f"{top}/sub/key"], frozenset((".netrc",))
    filesystem = RealFilesystem()
    assert sorted(filesystem.private_near(str(top), 100)) == sorted(filesystem.private(str(top))) == private
    assert sorted(filesystem.named_near(str(top), names, 100)) == [f"{top}/.netrc", *private]
    assert (filesystem.is_private(str(top)), filesystem.is_private(f"{top}/key")) == (False, True)
    # The modes beneath a directory that is closed were not chosen to keep others out; a name says what it did.
    closed = tmp_path / "closed"
    top.rename(closed)
    closed.chmod(0o700)
    assert filesystem.private_near(str(closed), 100) == ()
    assert filesystem.named_near(str(closed), names, 100) == (f"{closed}/.netrc",)
