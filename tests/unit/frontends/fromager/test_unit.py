"""What a command of a build must not leave beside its source tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.frontends.fromager.unit import Unit, Watch


@pytest.mark.parametrize("name", ["build-env", "build.log", "x-requirements.txt", "pyvenv.cfg"])
def test_what_fromager_would_obey_is_removed_and_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    watch = Watch(Unit.of(tmp_path / "tree"))
    (tmp_path / name).touch()
    with pytest.raises(UntrustedResultError, match="beside its source tree"):
        watch.check()
    assert os.listdir(tmp_path) == ["tree"]


def test_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    watch = Watch(Unit.of(tmp_path / "tree"))
    (tmp_path / "notes").touch()
    watch.check()
    assert sorted(os.listdir(tmp_path)) == ["notes", "tree"]
