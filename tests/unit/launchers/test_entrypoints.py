"""A launcher of another distribution is loaded only from where no hook could have put it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from isolated_hooks import SandboxUnavailableError
from isolated_hooks.files.steered import Trees
from isolated_hooks.launchers import entrypoints, find_launcher

_LAUNCHER = """
from pathlib import Path
from isolated_hooks.launchers.native import Native
Path({marker!r}).touch()

class Planted(Native):
    name = "planted"
"""


def _plant(tree: Path, marker: Path, value: str = "planted_launcher:Planted") -> None:
    """Install a launcher into a directory, as a hook can into its source tree."""
    info = tree / "planted-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{entrypoints.GROUP}]\nplanted = {value}\n")
    (tree / "planted_launcher.py").write_text(_LAUNCHER.format(marker=os.fspath(marker)))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "imported"


@pytest.mark.parametrize("value", ["planted_launcher:Planted", "isolated_hooks.launchers.native:Native"])
def test_one_that_lies_in_a_tree_is_refused(
    value: str, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _plant(tmp_path / "tree", marker, value)
    monkeypatch.syspath_prepend(tmp_path / "tree")
    monkeypatch.setattr(entrypoints, "recorded_trees", lambda: Trees([os.fspath(tmp_path / "tree")]))
    with pytest.raises(SandboxUnavailableError, match="where hooks may write, for it"):
        find_launcher("planted")
    assert not marker.exists()


def test_its_module_is_not_searched_in_a_tree(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The distribution lies elsewhere, and a module of that name in the tree would come first."""
    _plant(tmp_path / "site", tmp_path / "own")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/planted_launcher.py").write_text(_LAUNCHER.format(marker=os.fspath(marker)))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "tree")
    monkeypatch.setattr(entrypoints, "recorded_trees", lambda: Trees([os.fspath(tmp_path / "tree")]))
    with pytest.raises(SandboxUnavailableError, match="where hooks may write, for it"):
        find_launcher("planted")
    assert not marker.exists()


def test_one_that_lies_elsewhere_is_loaded(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _plant(tmp_path / "site", marker)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(entrypoints, "recorded_trees", lambda: Trees([os.fspath(tmp_path / "tree")]))
    try:
        assert find_launcher("planted").name == "planted"
        assert marker.exists()
    finally:
        sys.modules.pop("planted_launcher", None)
