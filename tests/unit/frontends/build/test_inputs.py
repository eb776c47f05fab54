"""What an unpacked sdist may take the place of: an earlier one of the same project, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.files.pinned import Pinned
from isolated_hooks.frontends.build import inputs

_INFO = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\n"


def make_room(directory: Path, archive: str, top: str) -> None:
    with Pinned(os.fspath(directory)) as held:
        inputs._make_room(held, archive, top)


@pytest.mark.parametrize("top", ["example-2.0", "other-1.0", "example", ".ssh", "example-1.0-1", ""])
def test_a_top_directory_of_another_name_is_refused(top: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedResultError, match=r"must be named example-1\.0"):
        make_room(tmp_path, "example-1.0.tar.gz", top)


@pytest.mark.parametrize("kind", ["nothing in it", "another project", "a link", "a file"])
def test_what_is_no_sdist_of_the_project_stays(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "place/example-1.0"
    real = tmp_path / "real" if kind == "a link" else path
    real.mkdir(parents=True)
    (real / "precious").touch()
    if kind != "nothing in it":
        (real / "PKG-INFO").write_text(_INFO.format("other" if kind == "another project" else "example"))
    if kind == "a link":
        path.parent.mkdir()
        path.symlink_to(real)
    if kind == "a file":
        (real / "PKG-INFO").unlink()
        (real / "precious").unlink()
        real.rmdir()
        real.write_text("precious")
    with pytest.raises(UntrustedResultError, match="move this away"):
        make_room(tmp_path / "place", "example-1.0.tar.gz", "example-1.0")
    assert (real / "precious").exists() or real.is_file()


def test_an_earlier_one_is_removed(tmp_path: Path) -> None:
    (tmp_path / "example-1.0").mkdir()
    (tmp_path / "example-1.0/PKG-INFO").write_text(_INFO.format("Example"))
    make_room(tmp_path, "example-1.0.tar.gz", "example-1.0")
    assert os.listdir(tmp_path) == []
