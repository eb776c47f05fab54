"""This project's own sdist and wheel, built by itself: a real package, with the setuptools that is installed here."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.projects import command
from support.repository import ROOT, not_sources

pytestmark = pytest.mark.usefixtures("sandbox")


def _files(directory: Path) -> set[str]:
    return {os.fspath(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_sdist_is_the_whole_tree_and_the_wheel_is_the_package(tmp_path: Path) -> None:
    tree, out = tmp_path / "tree", tmp_path / "out"
    shutil.copytree(ROOT, tree, ignore=not_sources)
    sources = _files(tree)
    # What a build of a fixture leaves does not belong to it.
    for left in ("fixtures/c-extension/build/x", "fixtures/c-extension/dist/x.whl", "tests/unit/x.pyc"):
        (tree / left).parent.mkdir(parents=True, exist_ok=True)
        (tree / left).touch()
    done = command("build", "--no-isolation", "-o", out, tree, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    with tarfile.open(sdist) as archive:
        packed = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert {name for name in packed if "egg-info" not in name} == sources | {"PKG-INFO"}
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        installed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert installed == {
        f"isolated_hooks/{name}" for name in _files(tree / "src/isolated_hooks") if "__pyc" not in name
    }
