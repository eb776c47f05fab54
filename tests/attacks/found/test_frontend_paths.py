"""K1: what a hook plants where the frontends search, read, replace or remove something afterwards has no effect."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.index import Index, serve, write_wheel
from support.projects import CLI, WHEEL, facts, run_text
from support.repository import ROOT
from support.requirements import write_needy

pytestmark = pytest.mark.usefixtures("sandbox")

#: By name: the arguments of the frontend before the output directory.
FRONTENDS: Mapping[str, tuple[str, ...]] = {
    "build": ("build", "--wheel", "--outdir"),
    "pip": ("pip", "wheel", "--no-deps", "--wheel-dir"),
}
_PLANT = """
def plant(path, text, mode=0o755):
    path = os.path.join(HERE, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def get_requires_for_build_wheel(config_settings=None):
    PLANT
    tell(planted=True)
    return ["second"]
"""


@dataclasses.dataclass(frozen=True)
class Trap:
    """A search path into the tree.

    :ivar environ: variables; ``{tree}`` stands for the source tree, and ``{link}`` for a link outside that leads to it
    :ivar file: what the hook plants
    :ivar inside: whether the frontend starts in the tree
    """

    environ: Mapping[str, str]
    file: str
    inside: bool = False


TRAPS = {
    "activated": Trap({"PATH": "{tree}/.venv/bin:{path}"}, ".venv/bin/uname"),
    "link": Trap({"PATH": "{link}/bin:{path}"}, "bin/uname"),
    "dots": Trap({"PATH": "{tree}/lib/../bin:{path}"}, "bin/uname"),
    "empty": Trap({"PATH": ":{path}"}, "uname", inside=True),
    "relative": Trap({"PATH": "bin:{path}"}, "bin/uname", inside=True),
    "modules": Trap({"PYTHONPATH": "{tree}/src"}, "src/sitecustomize.py"),
    "modules-empty": Trap({"PYTHONPATH": ":/nonexistent"}, "sitecustomize.py", inside=True),
    "user-base": Trap({"PYTHONUSERBASE": "{tree}"}, f"lib/python{sysconfig.get_python_version()}/site-packages/a.pth"),
}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with serve(tmp_path / "index") as served:
        for name in ("first", "second"):
            write_wheel(served.project(name), name)
        yield served


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory that no sandbox shows."""
    path = tmp_path / "canary"
    path.mkdir()
    return path


def planting(directory: Path, path: str, canary: Path) -> Path:
    """Write a project with a hook that plants a program or a module, which leaves a mark."""
    text = f'#!/bin/sh\n/usr/bin/touch {canary}/mark\nexec /bin/{os.path.basename(path)} "$@"\n'
    if path.endswith((".py", ".pth")):
        text = f"import os; os.path.isdir({str(canary)!r}) and open({str(canary / 'mark')!r}, 'w').close()\n"
    plant = f"plant({path!r}, {text!r})"
    project = write_needy(directory, ["first"], extra=_PLANT.replace("PLANT", plant))
    for name in ("lib", "bin", "src"):
        (project / name).mkdir()
    return project


def build(
    project: Path, frontend: str, environ: Mapping[str, str], *options: str | Path, program: tuple[str, ...] = CLI
) -> subprocess.CompletedProcess[str]:
    out = project.parent / "out"
    cwd = environ.get("PWD", os.fspath(project.parent))
    return run_text([*program, *FRONTENDS[frontend], out, *options, project], cwd, environ)


@pytest.mark.parametrize("name", TRAPS)
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_no_search_path_leads_into_the_tree(
    frontend: str, name: str, index: Index, canary: Path, tmp_path: Path
) -> None:
    trap = TRAPS[name]
    project = planting(tmp_path / "project", trap.file, canary)
    (tmp_path / "link").symlink_to(project)
    places = {"tree": project, "link": tmp_path / "link", "path": os.environ.get("PATH", os.defpath)}
    environ = {key: value.format(**places) for key, value in trap.environ.items()}
    cwd = {"PWD": os.fspath(project)} if trap.inside else {}
    done = build(project, frontend, {**index.environ(), **environ, **cwd})
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]
    assert {"planted": True} in facts(project)
    assert os.listdir(canary) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["activated", "modules"])
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_search_path_into_the_tree_runs_it_without_us(
    frontend: str, name: str, index: Index, canary: Path, tmp_path: Path
) -> None:
    project = planting(tmp_path / "project", TRAPS[name].file, canary)
    places = {"tree": project, "path": os.environ.get("PATH", os.defpath)}
    environ = {key: value.format(**places) for key, value in TRAPS[name].environ.items()}
    build(project, frontend, {**index.environ(), **environ}, program=(sys.executable, "-m"))
    assert os.listdir(canary) == ["mark"]


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_an_editable_install_of_the_tree(frontend: str, index: Index, canary: Path, tmp_path: Path) -> None:
    """Each interpreter of an environment with a .pth file into the tree would import sitecustomize from there."""
    project = planting(tmp_path / "project", "src/sitecustomize.py", canary)
    run_text([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"])
    (site,) = (tmp_path / "env").glob("lib/*/site-packages")
    (site / "editable.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n{ROOT}/src\n{project}/src\n")
    python = (os.fspath(tmp_path / "env" / "bin" / "python"), "-m", "isolated_hooks")
    done = build(project, frontend, index.environ(), program=python)
    assert done.returncode == 0, done.stderr
    assert {"planted": True} in facts(project)
    assert os.listdir(canary) == []
    run_text([python[0], "-I", "-c", ""])
    assert os.listdir(canary) == ["mark"]


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_temporary_files_do_not_lie_in_the_tree(frontend: str, index: Index, tmp_path: Path) -> None:
    """TMPDIR in the tree: the build environment, downloads and wheels would lie there, writable for the hooks."""
    look = "tell(there=os.listdir(os.path.join(HERE, 'tmp')))"
    project = write_needy(tmp_path / "project", ["first"], extra=_PLANT.replace("PLANT", look))
    (project / "tmp").mkdir()
    done = build(project, frontend, {**index.environ(), "TMPDIR": os.fspath(project / "tmp")})
    assert done.returncode == 0, done.stderr
    assert [entry["there"] for entry in facts(project) if "there" in entry] == [[]]
