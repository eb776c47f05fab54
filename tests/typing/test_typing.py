"""The public names, and the example of a launcher, as ``mypy --strict`` sees them in somebody else's project."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.documents import code_block
from support.projects import clean_environ

_PUBLIC_API = Path(__file__).with_name("public_api.py")
_IS_A_LAUNCHER = "\nlauncher: Launcher = Polite()\n"


@pytest.mark.slow
def test_the_public_names_and_the_launcher_of_the_document_pass_mypy_strict(tmp_path: Path) -> None:
    (tmp_path / "polite.py").write_text(code_block("launchers.rst", "python", "class Polite") + _IS_A_LAUNCHER)
    (tmp_path / "public_api.py").write_text(_PUBLIC_API.read_text(encoding="utf-8"))
    _check(tmp_path, "polite.py", "public_api.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    "context", ["class WorkContext: ...", "from fromager.context import WorkContext as WorkContext"]
)
def test_the_plug_in_for_fromager_fits_the_protocols_that_its_authors_propose(context: str, tmp_path: Path) -> None:
    if "import" in context and importlib.util.find_spec("fromager") is None:
        pytest.skip("fromager is not installed")
    (tmp_path / "fromager_context.py").write_text(f"{context}\n")
    plugin = _PUBLIC_API.with_name("fromager_plugin.py")
    (tmp_path / plugin.name).write_text(plugin.read_text(encoding="utf-8"))
    _check(tmp_path, plugin.name, "fromager_context.py")


def _check(directory: Path, *files: str) -> None:
    """Let ``mypy --strict`` read files."""
    # What it finds of this package is what is installed: no mypy_path, and no settings of this repository's.
    argv = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", os.devnull]
    done = subprocess.run(
        [*argv, *files],
        cwd=directory,
        env=clean_environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
