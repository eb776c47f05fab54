"""No search path leads a program of ours into a tree that a hook has written to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.attacks.place import quiet
from support.projects import caller, write_project

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with a backend that plants what no program can load, under the name of a library of every one."""
    tree = write_project(tmp_path / "tree")
    backend = tree / "backend.py"
    plant = (
        "os.makedirs(os.path.join(HERE, 'lib'), exist_ok=True)\n"
        "open(os.path.join(HERE, 'lib', 'libc.so.6'), 'w').close()\n"
    )
    backend.write_text(backend.read_text().replace("\ndef tell(", f"\n{plant}\ndef tell(", 1))
    return tree


@pytest.mark.parametrize("path", ["{tree}/lib", "/usr/lib:{tree}/none/../lib", "{link}"])
def test_the_launcher_loads_no_library_of_an_earlier_hook(
    tree: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """K1: LD_LIBRARY_PATH names a directory of the tree, by any path."""
    link = tree.parent / "link"
    link.symlink_to(tree / "lib")
    monkeypatch.setenv("LD_LIBRARY_PATH", path.format(tree=tree, link=link))
    hooks = caller(tree, runner=quiet)
    hooks.get_requires_for_build_wheel()
    assert (tree / "lib" / "libc.so.6").exists()
    hooks.get_requires_for_build_wheel()
    control = subprocess.run([sys.executable, "-c", ""], env={**os.environ, "LD_LIBRARY_PATH": str(link)}, check=False)
    assert control.returncode != 0
