"""A file that a command writes at its end, where a hook may have put something else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks.errors import PolicyError, UntrustedResultError
from isolated_hooks.files.replaced import ReplacedFile


def test_it_is_written_as_a_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("earlier")
    with ReplacedFile(os.fspath(path), "--report") as file:
        assert path.read_text() == "earlier"
        file.write(b"new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "report.json").symlink_to("precious")
    with ReplacedFile(os.fspath(tmp_path / "report.json"), "--report") as file:
        file.write(b"new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "report.json").is_symlink()


@pytest.mark.parametrize("name", ["", ".", "sub/", "sub", "fifo", "missing/report.json", "file/report.json"])
def test_no_file_can_be_written_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    before = sorted(os.listdir(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError, match=r"--report: .*Remedy: name a file in a directory"):
        ReplacedFile(name, "--report")
    assert sorted(os.listdir(tmp_path)) == before


def test_a_link_in_a_tree_must_not_lead_there(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "build").symlink_to(tmp_path / "outside")
    path = os.fspath(tmp_path / "tree" / "build" / "report.json")
    with pytest.raises(PolicyError, match="in the source tree leads there"):
        ReplacedFile(path, "--report", [os.fspath(tmp_path / "tree")])
    with ReplacedFile(path, "--report"):
        pass  # the operator's own link


def test_a_directory_that_a_hook_has_moved_is_not_written_to(tmp_path: Path) -> None:
    directory = tmp_path / "build"
    directory.mkdir()
    with ReplacedFile(os.fspath(directory / "report.json"), "--report") as file:
        directory.rename(tmp_path / "moved")
        directory.mkdir()
        with pytest.raises(UntrustedResultError, match="must not move a directory"):
            file.write(b"new")
    assert os.listdir(directory) == os.listdir(tmp_path / "moved") == []


def test_a_directory_that_moves_while_it_is_written_to_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the check, and before the file has its name: the report is nowhere that the operator would look."""
    directory = tmp_path / "build"
    directory.mkdir()
    real = os.rename

    def rename(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(os, "rename", real)
        directory.rename(tmp_path / "moved")
        directory.mkdir()
        (directory / "report.json").write_text("of the hook")
        real(*arguments, **options)

    with ReplacedFile(os.fspath(directory / "report.json"), "--report") as file:
        monkeypatch.setattr(os, "rename", rename)
        with pytest.raises(UntrustedResultError, match="must not move a directory"):
            file.write(b"new")
    assert (directory / "report.json").read_text() == "of the hook"
