"""``isolated-hooks build`` makes the wheels that ``python -m build`` makes of sdists as they are on the index.

Beside the sandbox of the hooks, which ``test_corpus`` is about, this compares the build environments: what was
installed, and how.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.corpus_builds import (
    PACKAGES,
    NoNetworkError,
    Package,
    differing,
    fetch_sdist,
    members_of,
    missing_programs,
    told,
    unpack,
)
from support.projects import cannot_run, clean_environ

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.corpus, pytest.mark.network]

# setuptools by default; hatchling and what its hook asks for; a C extension; an in-tree backend that requires Cython.
_NAMES = ("six", "iniconfig", "markupsafe", "pyyaml")


@pytest.mark.parametrize("package", [p for p in PACKAGES if p.name in _NAMES], ids=str)
def test_the_wheel_is_the_same(package: Package, tmp_path: Path) -> None:
    if missing := missing_programs(package):
        pytest.skip(f"{package} needs {' and '.join(missing)}, which this user cannot run")
    try:
        sdist = fetch_sdist(package, tmp_path / "sdist")
    except NoNetworkError as error:
        cannot_run(f"no network: {error}")
    wheels = []
    for program in ("build", "isolated_hooks build"):
        tree = unpack(sdist, tmp_path / "source")
        argv = [sys.executable, "-m", *program.split(), "--wheel", "--outdir", tmp_path / "out", tree]
        environ = clean_environ(SOURCE_DATE_EPOCH="1700000000")
        done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, umask=0o022)
        assert done.returncode == 0, done.stdout + done.stderr
        (name,) = os.listdir(tmp_path / "out")
        wheels.append((name, members_of(tmp_path / "out" / name)))
        for directory in ("source", "out"):
            shutil.rmtree(tmp_path / directory)
    (plain_name, plain), (name, ours) = wheels
    assert name == plain_name
    differences = differing(plain, ours)
    assert not differences, f"members differ:\n{told(differences, plain, ours)}"
