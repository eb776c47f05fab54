"""Real packages through ``isolated-hooks pip``: wheels, installs, editable installs, with pips of several versions.

The pips are wheels from the index, and most of them are run as such, from the archive.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.index import write_wheel
from support.projects import cannot_run, command, facts, run_text, write_project
from support.repository import FETCH_SDISTS

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.corpus, pytest.mark.network]

PIPS = ("23.0.1", "24.0", "25.0.1", "25.3", "26.2", "newest")
# Plain setuptools without pyproject.toml; flit in its own tree; an in-tree backend; C; cffi.
CORPUS = (
    "six==1.17.0",
    "flit_core==3.12.0",
    "setuptools-scm==8.3.1",
    "markupsafe==3.0.2",
    "argon2-cffi-bindings==21.2.0",
)
SANDBOXED = """
def get_requires_for_build_wheel(config_settings=None):
    tell(home=os.environ["HOME"])
    return []
"""


@pytest.fixture(scope="session")
def pips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of pip for each version."""
    found = {}
    for version in PIPS:
        directory = tmp_path_factory.mktemp("pip")
        wanted = "pip" if version == "newest" else f"pip=={version}"
        done = run_text([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", directory, wanted])
        if done.returncode:
            cannot_run(f"pip {version} cannot be fetched: {done.stderr}")
        found[version] = next(directory.iterdir())
    return found


@pytest.fixture(scope="session")
def sdists(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("sdists")
    done = run_text([sys.executable, FETCH_SDISTS, directory, *CORPUS])
    if done.returncode:
        cannot_run(f"sdists cannot be fetched: {done.stderr}")
    return sorted(directory.iterdir())


def pip(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``isolated-hooks pip``, for as long as downloads and compilers may take."""
    return command("pip", *arguments, timeout=600, **options)


def environment(directory: Path, *requirements: str) -> Path:
    """Make a virtual environment of its own and return its Python."""
    done = run_text([sys.executable, "-m", "venv", "--without-pip", directory])
    assert done.returncode == 0, done.stderr
    python = directory / "bin" / "python"
    if requirements:
        # Without the time limit of the other commands: this is downloads.
        argv = [sys.executable, "-m", "pip", "--python", python, "install", "-q", *requirements]
        done = subprocess.run(argv, capture_output=True, check=False, text=True)
        if done.returncode:
            cannot_run(f"{requirements} cannot be installed: {done.stderr}")
    return python


def test_wheels_and_installs_of_real_packages(pips: dict[str, Path], sdists: list[Path], tmp_path: Path) -> None:
    """By the newest pip, from its archive: the hook script is a temporary file then."""
    options = ("--pip", pips["newest"])
    done = pip(*options, "wheel", "--no-cache-dir", "--no-deps", "-w", tmp_path / "wheels", *sdists)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "* Ran 15 hooks in a sandbox" in done.stderr
    assert len(os.listdir(tmp_path / "wheels")) == len(CORPUS)
    python = environment(tmp_path / "environment")
    options += ("--python", python)
    done = pip(*options, "install", "--no-cache-dir", "--no-deps", "--no-build-isolation", *sdists[1:2])
    assert done.returncode == 0, done.stdout + done.stderr
    done = pip(*options, "install", "--no-cache-dir", "--no-deps", *sdists[:1], *sdists[2:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "* Ran 12 hooks in a sandbox" in done.stderr
    # The others need what --no-deps has left out.
    used = "from importlib.metadata import version as v; import six, flit_core, markupsafe._speedups"
    done = run_text([python, "-c", f"{used}; print(v('argon2-cffi-bindings'), v('setuptools-scm'))"], "/")
    assert done.stdout == "21.2.0 8.3.1\n", done.stderr


@pytest.mark.parametrize("version", PIPS)
def test_every_pip(version: str, pips: dict[str, Path], tmp_path: Path) -> None:
    """From its archive and unpacked; with a project that has hooks and with one that has no pyproject.toml."""
    project = write_project(tmp_path / "project", extra=SANDBOXED)
    with zipfile.ZipFile(pips[version]) as archive:
        archive.extractall(tmp_path / "unpacked")
    for place in (pips[version], tmp_path / "unpacked"):
        done = pip("--pip", place, "wheel", "--no-index", "-w", tmp_path / "wheels", project)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "* Ran 3 hooks in a sandbox" in done.stderr
        assert {"home": "/sandbox"} in facts(project)


@pytest.mark.parametrize("version", ["24.0", "newest"])
def test_a_project_without_pyproject_toml(version: str, pips: dict[str, Path], tmp_path: Path) -> None:
    """An old pip would run its setup.py outside of any hook, where setuptools and wheel are there."""
    project, canary = tmp_path / "project", tmp_path / "canary"
    project.mkdir()
    reach = f"import os\nif os.access({os.fspath(tmp_path)!r}, os.W_OK): open({os.fspath(canary)!r}, 'w').close()\n"
    (project / "setup.py").write_text(
        f"{reach}from setuptools import setup\nsetup(name='old', version='1', py_modules=[])\n"
    )
    python = environment(tmp_path / "environment", "setuptools", "wheel")
    arguments = ("--python", python, "wheel", "--no-deps", "--no-cache-dir", "-w", tmp_path / "wheels", project)
    done = run_text([sys.executable, pips[version] / "pip", *arguments])
    assert done.returncode == 0, done.stdout + done.stderr
    assert canary.exists(), "the attack is none"
    canary.unlink()
    done = pip("--pip", pips[version], *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "* Ran 3 hooks in a sandbox" in done.stderr
    if version == "24.0":
        legacy = (*arguments, "--no-use-pep517", "--no-build-isolation")
        with zipfile.ZipFile(pips[version]) as archive:
            archive.extractall(tmp_path / "unpacked")  # from its archive it does not find the setuptools that it wants
        done = pip("--pip", tmp_path / "unpacked", *legacy)
        assert done.returncode == 1
        assert "would run setup.py outside of any hook" in done.stderr
    assert not canary.exists()


@pytest.mark.parametrize("version", ["26.2", "newest"])
def test_build_requirements_in_a_virtual_environment(version: str, pips: dict[str, Path], tmp_path: Path) -> None:
    """pip would install what a hook asks for with the interpreter of that environment, and with its .pth files."""
    canary, links = tmp_path / "canary", tmp_path / "links"
    links.mkdir()
    reach = f"import os; os.access({os.fspath(tmp_path)!r}, os.W_OK) and open({os.fspath(canary)!r}, 'a').write('x')\n"
    for number in ("1.0", "2.0"):
        program = f'#!/bin/sh\ntouch {canary}; exec {sys.executable} "$@"\n'
        files = {"first.pth": reach, f"first-{number}.data/scripts/tool": program}
        write_wheel(links, "first", number, files=files)
    write_wheel(links, "second", requires=["first<2"])
    hooks = """
def get_requires_for_build_wheel(config_settings=None):
    import first
    tell(before=first.VALUE)
    return ["second"]

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None, real=prepare_metadata_for_build_wheel):
    import first, importlib.metadata, second
    found = sorted(f"{d.name} {d.version}" for d in importlib.metadata.distributions() if "env" in str(d._path))
    tell(after=[first.VALUE, second.VALUE], found=found, prefix=sys.prefix != sys.base_prefix)
    return real(metadata_directory, config_settings)
"""
    project = write_project(tmp_path / "project", extra=hooks)
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace("requires = []", 'requires = ["first"]'))
    arguments = ("wheel", "--no-index", "--find-links", links, "--use-feature", "venv-isolation", "--no-deps")
    done = run_text([sys.executable, pips[version] / "pip", *arguments, "-w", tmp_path / "bare", project])
    assert done.returncode == 0, done.stdout + done.stderr
    bare = facts(project)
    assert canary.exists(), "the attack is none"
    canary.unlink()
    done = pip("--pip", pips[version], *arguments, "-w", tmp_path / "wheels", project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert facts(project) == bare
    assert [fact for fact in bare if "hook" not in fact] == [
        {"before": "first 2.0"},
        {"after": ["first 1.0", "second 1.0"], "found": ["first 1.0", "second 1.0"], "prefix": True},
    ]
    assert not canary.exists()


@pytest.mark.parametrize(
    ("backend", "files"),
    [
        ("setuptools", {"src/editable_it/__init__.py": "ANSWER = 42\n"}),
        ("hatchling", {"src/editable_it/__init__.py": "ANSWER = 42\n"}),
        (
            "meson-python",
            {
                "src/editable_it/__init__.py": "from editable_it._answer import ANSWER\n",
                "answer.c": '#include <Python.h>\nstatic struct PyModuleDef m = {PyModuleDef_HEAD_INIT, "_answer"};\n'
                "PyMODINIT_FUNC PyInit__answer(void) { PyObject *it = PyModule_Create(&m);\n"
                'PyModule_AddIntConstant(it, "ANSWER", 42); return it; }\n',
                "meson.build": "project('editable_it', 'c')\npy = import('python').find_installation(pure: false)\n"
                "py.install_sources('src/editable_it/__init__.py', subdir: 'editable_it')\n"
                "py.extension_module('_answer', 'answer.c', install: true, subdir: 'editable_it')\n",
            },
        ),
    ],
)
def test_an_editable_install_works(backend: str, files: dict[str, str], pips: dict[str, Path], tmp_path: Path) -> None:
    names = {"setuptools": "setuptools.build_meta", "hatchling": "hatchling.build", "meson-python": "mesonpy"}
    project = tmp_path / "project"
    head = f'[build-system]\nrequires = ["{backend}"]\nbuild-backend = "{names[backend]}"\n'
    text = head + '[project]\nname = "editable-it"\nversion = "1.0"\n'
    for name, content in {**files, "pyproject.toml": text}.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(content)
    # meson-python builds again at each import, so its tools have to be there: as its documentation says.
    tools = ("meson-python", "ninja", "meson") if backend == "meson-python" else ()
    python = environment(tmp_path / "environment", *tools)
    options = ("--no-build-isolation",) if tools else ()
    environ = {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    done = command(
        "pip", "--pip", pips["newest"], "--python", python, "install", *options, "-e", project, environ=environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "build_editable" in done.stderr
    done = run_text([python, "-c", "import editable_it; print(editable_it.ANSWER, editable_it.__file__)"], "/", environ)
    assert done.stdout.startswith("42 "), done.stderr
    assert os.fspath(project) in done.stdout
