"""The output directory: artefacts are moved there complete, and no name twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isolated_hooks import BuiltFile, PolicyError, UntrustedResultError
from isolated_hooks.many.output import Output, TakenError


def staged(output: Output, package: int, name: str, data: bytes = b"new") -> BuiltFile:
    directory = Path(output.staging) / str(package)
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(data)
    return BuiltFile(os.fspath(directory / name), len(data), "digest")


def test_an_artefact_takes_the_place_of_an_earlier_run_s(tmp_path: Path) -> None:
    place = tmp_path / "new" / "out"
    with Output(os.fspath(place)) as output:
        assert Path(output.staging).parent == place
        (place / "a-1-py3-none-any.whl").write_bytes(b"earlier")
        wheel, sdist = output.publish(staged(output, 0, "a-1-py3-none-any.whl"), None)
        assert (wheel, sdist) == (BuiltFile(f"{place}/a-1-py3-none-any.whl", 3, "digest"), None)
        assert (place / "a-1-py3-none-any.whl").read_bytes() == b"new"
    assert os.listdir(place) == ["a-1-py3-none-any.whl"], "the staging directory is gone"


def test_no_package_takes_the_place_of_another_one_s(tmp_path: Path) -> None:
    with Output(os.fspath(tmp_path)) as output:
        output.publish(staged(output, 0, "a-1-py3-none-any.whl", b"first"))
        with pytest.raises(TakenError, match="another package of this run has made"):
            output.publish(staged(output, 1, "b-1.tar.gz"), staged(output, 1, "a-1-py3-none-any.whl", b"second"))
        with pytest.raises(TakenError):
            output.keep(BuiltFile(f"{tmp_path}/a-1-py3-none-any.whl", 5, "digest"))
        output.keep(BuiltFile(f"{tmp_path}/c-1-py3-none-any.whl", 5, "digest"))
        with pytest.raises(TakenError):
            output.publish(staged(output, 2, "c-1-py3-none-any.whl"))
    assert os.listdir(tmp_path) == ["a-1-py3-none-any.whl"], "of a package, either all artefacts or none"
    assert (tmp_path / "a-1-py3-none-any.whl").read_bytes() == b"first"


def test_a_directory_that_was_exchanged_gets_nothing(tmp_path: Path) -> None:
    place = tmp_path / "out"
    with Output(os.fspath(place)) as output:
        file = staged(output, 0, "a-1-py3-none-any.whl")
        place.rename(tmp_path / "away")
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to("elsewhere")
        with pytest.raises(UntrustedResultError, match="must not move a directory"):
            output.publish(file)
    assert os.listdir(tmp_path / "elsewhere") == os.listdir(tmp_path / "away") == []


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PolicyError, match="cannot be used for the artefacts: Not a directory"):
        Output(os.fspath(tmp_path / "file" / "out"))
