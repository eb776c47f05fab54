"""K1: fromager writes and reads files of its own in source trees after hooks; those lead nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from isolated_hooks import Policy, UntrustedResultError
from isolated_hooks.files.steered import Trees
from isolated_hooks.frontends.fromager import swapped

sources: Any = pytest.importorskip("fromager.sources", reason="fromager is not installed")
dependencies: Any = pytest.importorskip("fromager.dependencies", reason="fromager is not installed")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree in which hooks have run."""
    tree = tmp_path / "tree"
    tree.mkdir()
    monkeypatch.setattr("isolated_hooks.files.steered._recorded", Trees((str(tree),)))
    return tree


def write(tree: Path) -> bool:
    """Write PKG-INFO as fromager does before it packs a tree."""
    made = sources.ensure_pkg_info(ctx=None, req=Requirement("x"), version=Version("1"), sdist_root_dir=tree)
    return bool(made)


def test_pkg_info_is_not_written_through_a_link(tree: Path, tmp_path: Path) -> None:
    (tree / "PKG-INFO").symlink_to("../outside")
    with swapped(lambda _: Policy()), pytest.raises(UntrustedResultError, match="leads out of the source tree"):
        write(tree)
    assert not (tmp_path / "outside").exists()
    write(tree)
    assert (tmp_path / "outside").exists()


def test_pkg_info_is_not_written_to_a_fifo(tree: Path) -> None:
    """fromager would wait for a reader for ever."""
    os.mkfifo(tree / "PKG-INFO")
    with swapped(lambda _: Policy()), pytest.raises(UntrustedResultError, match="not a regular file"):
        write(tree)


def test_a_missing_pkg_info_is_written(tree: Path) -> None:
    with swapped(lambda _: Policy()):
        write(tree)
    assert (tree / "PKG-INFO").is_file()


@pytest.mark.parametrize("kind", ["fifo", "link", "dots"])
def test_pyproject_is_read_as_data(tree: Path, kind: str) -> None:
    path = tree / "pyproject.toml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        path.write_text("a" + ".a" * 200_000 + " = 1")
    with swapped(lambda _: Policy()), pytest.raises(UntrustedResultError):
        dependencies.get_pyproject_contents(tree)
