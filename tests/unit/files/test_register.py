"""The register where something fails or changes meanwhile: without it everything works, and nothing is trusted."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks.files import register
from isolated_hooks.files.register import Registration, abandoned, live, these_namespaces, this_boot

NAME = f"isolated-hooks-register-{os.geteuid()}"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two registers that only the test uses, in the order in which a process tries them."""
    parents = [tmp_path / "first", tmp_path / "second"]
    for parent in parents:
        parent.mkdir()
    monkeypatch.setattr(register, "_PARENTS", tuple(map(os.fspath, parents)))
    return [parent / NAME for parent in parents]


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def failing(monkeypatch: pytest.MonkeyPatch, number: int, times: int, also: Any = None) -> None:
    """Let the next attempts to make a record fail."""
    real, left = os.open, iter(range(times))

    def opened(name: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & os.O_EXCL and next(left, None) is not None:
            if also is not None:
                also()
            raise OSError(number, os.strerror(number))
        return real(name, flags, *more, **options)

    monkeypatch.setattr(os, "open", opened)


def test_a_register_that_another_process_removes_because_it_is_empty_is_made_again(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, errno.ENOENT, 3, lambda: os.rmdir(places[0]))
    registration = Registration()
    registration.write(path="/one")
    assert len(os.listdir(places[0])) == 1
    assert [record.path for record in live()] == ["/one"]
    registration.release()
    assert not places[0].exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_the_next_place_is_taken_where_no_record_can_be_made(
    number: int, places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, number, 1)
    registration = Registration()
    assert len(os.listdir(places[1])) == 1
    registration.release()
    assert not places[1].exists()


def test_without_any_place_nothing_is_written_and_nothing_fails(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, errno.ENOSPC, 100)
    registration = Registration()
    registration.write(path="/one")
    assert registration.others() == []
    registration.release()
    assert [os.listdir(place) for place in places] == [[], []]


def test_half_of_a_line_is_no_record(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk may take a part of it: the rest would make the next line unreadable."""
    registration, real = Registration(), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[:-5]))
        registration.write(path="/one")
    assert not places[0].exists()
    registration.write(path="/two")
    assert list(live()) == []


def test_a_record_that_is_gone_before_we_open_it_is_not_told(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Registration()
    kept.write(path="/kept")
    real = os.listdir
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", lambda fd: ["0" * 16, *real(fd)])
        assert [record.path for record in live()] == ["/kept"]
        assert list(abandoned()) == []
        assert kept.others() == []
    kept.release()


def test_what_is_no_record_is_not_told(places: list[Path]) -> None:
    registration = Registration()
    registration.write(path="/one")
    (places[0] / "directory").mkdir()
    (places[0] / "link").symlink_to("/etc/hostname")
    assert registration.others() == []
    assert [record.path for record in live()] == ["/one"]
    assert list(abandoned()) == []
    (places[0] / "directory").rmdir()
    (places[0] / "link").unlink()
    registration.release()


def test_a_record_that_nobody_holds_is_abandoned_and_not_live(places: list[Path]) -> None:
    left, held = Registration(), Registration()
    left.write(path="/left")
    held.write(path="/held")
    left.release(keep=True)
    assert [record.path for record in live()] == ["/held"]
    assert [record.path for record in held.others()] == ["/left"]
    assert [record.path for record, _ in abandoned()] == ["/left"]
    assert held.others() == []
    held.release()


def test_without_proc_nothing_is_known_of_the_boot_or_the_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    assert this_boot.__wrapped__() == this_boot() != ""
    assert these_namespaces() != ""
    monkeypatch.setattr(os, "readlink", refuse)
    assert this_boot.__wrapped__() == these_namespaces() == ""
