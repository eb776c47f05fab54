from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

import pytest
from support.fakes import no_hang

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.results.outputs import OutputDirectory


class World:
    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.source = top / "src"
        self.source.mkdir()
        (top / "outside").mkdir()

    def open(self, path: pathlib.Path) -> OutputDirectory:
        return OutputDirectory(str(path), str(self.source))


@pytest.fixture
def world(tmp_path: pathlib.Path) -> World:
    return World(tmp_path)


@contextlib.contextmanager
def no_leak() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def same(fd: int, path: pathlib.Path) -> bool:
    return os.path.samestat(os.fstat(fd), os.stat(path))


@pytest.mark.parametrize(
    "place", ["outside", "outside/new", "outside/a/b/c", "src", "src/dist", "src/a/b/c", "src-more"]
)
def test_the_directory_is_opened_and_made_where_it_does_not_exist(world: World, place: str) -> None:
    with no_leak(), world.open(world.top / place) as output:
        assert same(output.fd, world.top / place)
        assert os.get_inheritable(output.fd) is False
    assert (world.top / place).is_dir()  # what was asked for stays, also where nothing failed and nothing is in it


@pytest.mark.parametrize("place", ["outside/a/b/c", "src/a/b/c"])
def test_what_was_made_goes_again_where_the_hook_failed(world: World, place: str) -> None:
    with no_leak(), pytest.raises(KeyError), world.open(world.top / place):
        raise KeyError
    assert sorted(os.listdir(world.top)) == ["outside", "src"]
    assert os.listdir(world.top / "outside") == os.listdir(world.source) == []


def test_what_was_there_before_or_is_not_empty_stays_where_the_hook_failed(world: World) -> None:
    (world.source / "dist").mkdir()
    with pytest.raises(KeyError), world.open(world.source / "dist"):
        raise KeyError
    assert (world.source / "dist").is_dir()
    with pytest.raises(KeyError), world.open(world.top / "outside/a/b"):
        (world.top / "outside/a/file").touch()
        raise KeyError
    assert os.listdir(world.top / "outside/a") == ["file"]


@pytest.mark.parametrize("link", ["dist", "a/dist", "dist/deeper"])
@pytest.mark.parametrize("target", ["outside", "src/other", "none", "/"])
def test_a_link_within_the_source_tree_is_refused(world: World, link: str, target: str) -> None:
    (world.source / "other").mkdir()
    place = world.source / link
    name = world.source / ("dist" if link.startswith("dist") else "a/dist")
    name.parent.mkdir(exist_ok=True)
    os.symlink(world.top / target, name)
    with no_leak(), pytest.raises(UntrustedResultError) as caught:
        world.open(place)
    assert "link within the source tree" in str(caught.value)
    assert caught.value.text in (str(name), str(place))
    assert os.listdir(world.top / "outside") == os.listdir(world.source / "other") == []


def test_a_link_outside_of_the_source_tree_is_the_callers_and_is_followed(world: World) -> None:
    os.symlink("outside", world.top / "link")
    with world.open(world.top / "link/wheels") as output:
        assert same(output.fd, world.top / "outside/wheels")


def test_the_source_tree_itself_may_be_reached_by_a_link(world: World) -> None:
    os.symlink("src", world.top / "link")
    with OutputDirectory(str(world.top / "link/dist"), str(world.top / "link")) as output:
        assert same(output.fd, world.source / "dist")


@pytest.mark.parametrize(("source", "output"), [("link", "src"), ("src", "link")])
def test_a_link_within_is_refused_by_whichever_name_the_tree_goes(world: World, source: str, output: str) -> None:
    os.symlink("src", world.top / "link")
    os.symlink("../outside", world.source / "dist")
    with no_leak(), pytest.raises(UntrustedResultError):
        OutputDirectory(str(world.top / output / "dist/wheels"), str(world.top / source))
    assert os.listdir(world.top / "outside") == []


def test_a_directory_whose_name_begins_alike_is_outside(world: World) -> None:
    os.symlink("outside", world.top / "src-link")
    with world.open(world.top / "src-link") as output:
        assert same(output.fd, world.top / "outside")


@pytest.mark.parametrize("place", ["src/dist", "outside/dist"])
def test_a_hook_that_moves_the_directory_away_changes_nothing(world: World, place: str) -> None:
    before = world.top / place
    with world.open(before) as output:
        before.rename(world.top / "moved")
        os.symlink("/", before)
        os.close(os.open("wheel", os.O_CREAT | os.O_WRONLY, dir_fd=output.fd))
    assert os.listdir(world.top / "moved") == ["wheel"]


def test_cleaning_up_removes_nothing_that_was_put_in_its_place(world: World) -> None:
    with pytest.raises(KeyError), world.open(world.source / "dist"):
        (world.source / "dist").rmdir()
        os.symlink(world.top / "outside", world.source / "dist")
        raise KeyError
    assert (world.top / "outside").is_dir()
    assert (world.source / "dist").is_symlink()


@pytest.mark.parametrize("tree", ["src", "outside"])
def test_a_file_in_the_way_is_an_error_that_leaves_nothing_behind(world: World, tree: str) -> None:
    (world.top / tree / "file").touch()
    os.mkfifo(world.top / tree / "fifo")
    for place in ("file", "file/deeper", "fifo", "fifo/deeper"):
        with no_hang(), no_leak(), pytest.raises(NotADirectoryError):
            world.open(world.top / tree / place)
    assert sorted(os.listdir(world.top / tree)) == ["fifo", "file"]


def test_a_name_too_long_is_an_error_that_leaves_nothing_behind(world: World) -> None:
    with no_leak(), pytest.raises(OSError, match="File name too long"):
        world.open(world.top / "outside/a/b" / ("x" * 256))
    assert os.listdir(world.top / "outside") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_made_is_an_error_that_leaves_nothing_behind(world: World) -> None:
    (world.top / "outside/closed").mkdir(0o500)
    with no_leak(), pytest.raises(PermissionError):
        world.open(world.top / "outside/closed/a/b")


def test_a_failure_half_way_closes_what_was_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever directory it is that cannot be made."""
    mkdir = os.mkdir

    for failing in ("a", "b", "c"):

        def refuse(path: str, mode: int = 0o777, *, dir_fd: int | None = None, failing: str = failing) -> None:
            if path == failing:
                raise OSError(28, "No space left on device")
            mkdir(path, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "mkdir", refuse)
        with no_leak(), pytest.raises(OSError, match="No space"):
            world.open(world.top / "outside/a/b/c")
        assert os.listdir(world.top / "outside") == []


@pytest.mark.parametrize("place", ["src/dist", "src/a/dist", "outside/dist", "link/dist"])
def test_what_is_kept_is_what_its_path_leads_to(world: World, place: str) -> None:
    os.symlink("outside", world.top / "link")
    with world.open(world.top / place) as output:
        (world.top / place / "wheel").touch()
        output.check()
        output.keep(["wheel"])
    assert os.listdir(world.top / place) == ["wheel"]


def test_an_export_that_is_gone_before_it_is_kept_is_refused(world: World) -> None:
    """The frontend would open nothing, or a file that somebody makes there later."""
    with world.open(world.top / "outside/dist") as output:
        (world.top / "outside/dist/wheel").touch()
        with pytest.raises(UntrustedResultError):
            output.keep(["wheel", "gone"])
        assert os.listdir(output.fd) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="modes do not bind root")
def test_a_directory_that_the_caller_cannot_write_to_is_refused_before_the_hook(world: World) -> None:
    (world.top / "outside").chmod(0o555)
    with no_leak(), pytest.raises(PermissionError, match="outside"):
        world.open(world.top / "outside")


@pytest.mark.parametrize("place", ["src/dist", "src/a/dist"])
@pytest.mark.parametrize("how", ["gone", "other", "link", "file"])
def test_a_directory_that_a_hook_has_moved_is_noticed_and_what_was_exported_is_removed(
    world: World, place: str, how: str
) -> None:
    top = world.source / pathlib.Path(place).parts[1]
    with world.open(world.top / place) as output:
        os.close(os.open("wheel", os.O_CREAT | os.O_WRONLY, dir_fd=output.fd))
        top.rename(world.source / "moved")
        if how == "other":
            (world.top / place).mkdir(parents=True)
            (world.top / place / "wheel").touch()
        elif how == "link":
            os.symlink("moved", top)
        elif how == "file":
            top.touch()
        with pytest.raises(UntrustedResultError):
            output.check()
        with pytest.raises(UntrustedResultError):
            output.keep(["wheel"])
        assert os.listdir(output.fd) == []


def test_a_path_that_the_policy_makes_writable_counts_as_the_source_tree(world: World) -> None:
    cache = world.top / "cache"
    (cache / "src").mkdir(parents=True)
    os.symlink(world.top / "outside", cache / "link")
    with pytest.raises(UntrustedResultError), no_leak():
        OutputDirectory(str(cache / "link/dist"), str(world.source), [str(cache)])
    with OutputDirectory(str(cache / "src/dist"), str(cache / "src"), [str(cache), str(world.source)]) as output:
        assert same(output.fd, cache / "src/dist")
        output.check()
