"""The fixtures that several of the integration tests use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.index import Index, serve
from support.projects import cannot_run, contents, facts, nothing_left, run_text, write_project


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index of the test's own."""
    with serve(tmp_path / "index") as served:
        yield served


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory that no sandbox shows: whatever runs outside can leave a mark there."""
    path = tmp_path / "canary"
    path.mkdir()
    return path


@pytest.fixture
def telling_project(tmp_path: Path) -> Path:
    """A project whose backend tells even that it was imported."""
    return write_project(tmp_path / "project", extra="tell(imported=True)")


@pytest.fixture
def asserts_not_run(telling_project: Path, tmp_path: Path) -> Iterator[None]:
    """Check that no hook was run and nothing is left."""
    before = contents(telling_project)
    with nothing_left(tmp_path):
        yield
    assert facts(telling_project) == []
    assert contents(telling_project) == before


@pytest.fixture(params=["pip", pytest.param("uv", marks=pytest.mark.network)])
def installer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the installers, which is then found on PATH."""
    if request.param == "uv":
        uv = request.getfixturevalue("uv")
        monkeypatch.setenv("PATH", f"{uv}:{os.environ.get('PATH', os.defpath)}")
    return str(request.param)


@pytest.fixture(scope="session")
def uv(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The directory of uv's program. A test that takes it needs the mark ``network``."""
    target = tmp_path_factory.mktemp("uv")
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--target", os.fspath(target), "uv"]
    if run_text(argv).returncode:
        cannot_run("uv cannot be installed")
    return os.fspath(target / "bin")
