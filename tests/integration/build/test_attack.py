"""The package that attacks whoever builds it, through every frontend: nothing is vulnerable, and unsandboxed it all is.

The third frontend, fromager, builds it among other packages in tests/integration/fromager.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lanes import first_fast
from support.plantedhost import PROBES, PlantedHost, report_in, vulnerable_in
from support.projects import CLI

pytestmark = pytest.mark.usefixtures("sandbox")

#: By name: the arguments of the frontend, and what makes it one of ours.
FRONTENDS = {
    "build": (("build", "--wheel"), "--outdir"),
    "pip": (("pip", "wheel", "--no-deps", "--no-index"), "--wheel-dir"),
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PlantedHost]:
    with PlantedHost(tmp_path).running() as planted:
        yield planted


def build(host: PlantedHost, frontend: str, *, sandboxed: bool) -> Path:
    """Build the package and return the directory of its wheel."""
    arguments, output = FRONTENDS[frontend]
    project = host.project(host.root / "project")
    directory = host.root / "wheels"
    program = CLI if sandboxed else (sys.executable, "-m")
    argv = [*program, *arguments, output, directory, project]
    done = subprocess.run(
        argv, cwd=host.root, env=host.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return directory


@pytest.mark.parametrize("frontend", first_fast(FRONTENDS))
def test_nothing_is_vulnerable_in_a_sandbox(host: PlantedHost, frontend: str) -> None:
    wheels = build(host, frontend, sandboxed=True)
    assert vulnerable_in(wheels) == {}
    assert report_in(wheels).keys() >= PROBES
    assert host.contents() == host.before
    assert host.connections == []


@pytest.mark.parametrize("frontend", first_fast(FRONTENDS))
def test_everything_is_vulnerable_without_one(host: PlantedHost, frontend: str) -> None:
    assert vulnerable_in(build(host, frontend, sandboxed=False)).keys() == PROBES
    assert host.contents() != host.before
    assert host.connections
