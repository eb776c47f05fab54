"""The recipes of docs/frontends/others.rst, each with the real tool from the index."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.projects import SDIST, WHEEL, cannot_run, command, facts, run_text, write_project
from support.repository import ROOT

import isolated_hooks

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.corpus, pytest.mark.network]

PAGE = ROOT / "docs" / "frontends" / "others.rst"
# Sees, from inside, that this is the sandbox, and asks for nothing from the index.
EXTRA = """
def get_requires_for_build_wheel(config_settings=None):
    tell(home=os.environ["HOME"])
    return []

def get_requires_for_build_editable(config_settings=None):
    return []
"""
IN_SANDBOX = {"home": "/sandbox"}


def recipe(name: str, directory: Path) -> Path:
    """Write the file of the page that has this name."""
    block = rf"^``{re.escape(name)}``:\n\n\.\. code-block:: python\n\n((?:    .*\n|\n)+)"
    found = re.search(block, PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{name} is not in the docs"
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(found[1]))
    return path


def install(directory: Path, *requirements: str) -> Path:
    """Make an environment with a tool and this package as it is here, and return its directory of programs."""
    venv.create(directory, with_pip=True, symlinks=True)
    ours = ("build", "installer", "packaging", "pyproject_hooks", "tomli")
    # Without the time limit of the other commands: this is downloads.
    argv = [directory / "bin" / "python", "-m", "pip", "install", "-q", *requirements, *ours]
    done = subprocess.run(argv, capture_output=True, check=False, text=True)
    if done.returncode:
        cannot_run(f"{' '.join(requirements)} cannot be installed: {done.stderr}")
    source = os.path.dirname(os.path.dirname(isolated_hooks.__file__))
    (next(directory.glob("lib/python*/site-packages")) / "isolated_hooks_here.pth").write_text(f"{source}\n")
    return directory / "bin"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", extra=EXTRA)


def home(tmp_path: Path, **variables: str) -> Mapping[str, str]:
    """Return variables by which a tool leaves nothing in the user's home."""
    (tmp_path / "home").mkdir(exist_ok=True)
    return {"HOME": os.fspath(tmp_path / "home"), "PIP_NO_CACHE_DIR": "1", **variables}


@pytest.mark.parametrize(
    ("name", "tool", "arguments"),
    [
        ("isolated_pdm.py", "pdm", ("build", "-p", ".")),
        ("isolated_poetry.py", "poetry", ("build",)),
    ],
)
def test_a_tool_builds(name: str, tool: str, arguments: tuple[str, ...], project: Path, tmp_path: Path) -> None:
    programs = install(tmp_path / "environment", tool)
    environ = home(tmp_path, PDM_USE_VENV="0", PDM_CHECK_UPDATE="0", POETRY_VIRTUALENVS_IN_PROJECT="false")
    done = run_text([programs / "python", recipe(name, tmp_path), *arguments], project, environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sandboxed: get_requires_for_build_sdist build_sdist get_requires_for_build_wheel build_wheel" in done.stderr
    assert {WHEEL, SDIST} <= set(os.listdir(project / "dist"))


def test_pip_tools_ask_a_project_and_a_dependency(project: Path, tmp_path: Path) -> None:
    """The one by build, the other by the pip in its own process."""
    programs = install(tmp_path / "environment", "pip-tools", "pip<26")
    asked = write_project(tmp_path / "asked", extra=EXTRA)
    text = (asked / "pyproject.toml").read_text().replace('version = "1.0"', 'dynamic = ["version", "dependencies"]')
    (asked / "pyproject.toml").write_text(text)
    (tmp_path / "requirements.in").write_text(f"example @ file://{project}\n")
    page = recipe("isolated_pip_compile.py", tmp_path)
    for source, tree in ((asked / "pyproject.toml", asked), (tmp_path / "requirements.in", project)):
        argv = [programs / "python", page, "--no-index", "--no-strip-extras", "-o", tmp_path / "out.txt", source]
        done = run_text(argv, tmp_path, home(tmp_path))
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search("sandboxed: get_requires_for_build_wheel .*prepare_metadata_for_build_wheel", done.stderr)
        assert IN_SANDBOX in facts(tree)


def test_the_builder_of_pyodide_build(project: Path, tmp_path: Path) -> None:
    programs = install(tmp_path / "environment", "pyodide-build")
    program = """
        import sys, isolated_hooks
        from pyodide_build.vendor._pypabuild import _ProjectBuilder
        with isolated_hooks.swap("pyproject_hooks") as swapped:
            _ProjectBuilder(sys.argv[1]).build("wheel", sys.argv[2])
        print(*(report.hook for report in swapped.reports))
    """
    done = run_text(
        [programs / "python", "-c", textwrap.dedent(program), project, tmp_path / "out"], "/", home(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("build_wheel")
    assert os.listdir(tmp_path / "out") == [WHEEL]


def test_tools_that_run_python_m_build(project: Path, tmp_path: Path) -> None:
    programs = install(tmp_path / "environment", "check-manifest")
    shim = recipe("isolated/build.py", tmp_path).parent
    (project / "pyproject.toml").write_text((project / "pyproject.toml").read_text() + "\n[tool.check-manifest]\n")
    canary = tmp_path / "canary"
    reach = f"os.access({os.fspath(tmp_path)!r}, os.W_OK) and open({os.fspath(canary)!r}, 'w').close()\n"
    (project / "backend.py").write_text((project / "backend.py").read_text() + reach)
    for argv in (["init", "-q"], ["add", "-A"], ["-c", "user.name=n", "-c", "user.email=e@e", "commit", "-qm", "m"]):
        assert run_text(["git", *argv], project).returncode == 0
    check = [programs / "check-manifest", "--no-build-isolation", "--ignore", "facts.jsonl"]
    environ = home(tmp_path, PYTHONPATH=os.fspath(shim))
    assert run_text(check, project, home(tmp_path)).returncode == 0
    assert canary.exists(), "the backend reaches nothing without the sandbox either"
    canary.unlink()
    done = run_text(check, project, environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not canary.exists()
    # What cibuildwheel runs.
    argv = [programs / "python", "-m", "build", project, "--wheel", f"--outdir={tmp_path / 'out'}"]
    done = run_text(argv, "/", environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "* Ran 2 hooks in a sandbox: get_requires_for_build_wheel, build_wheel" in done.stderr
    assert IN_SANDBOX in facts(project)


def test_uv_builds_nothing_and_takes_what_was_built(project: Path, tmp_path: Path) -> None:
    programs = install(tmp_path / "environment", "uv")
    uv = programs / "uv"
    into = ("pip", "install", "--only-binary", ":all:", "--no-index", "--target", tmp_path / "target")
    environ = home(tmp_path, UV_CACHE_DIR=os.fspath(tmp_path / "cache"))
    sdist = command("build", "--sdist", "--no-isolation", "--outdir", tmp_path / "sdists", project)
    assert sdist.returncode == 0, sdist.stderr
    refused = run_text([uv, *into, "--find-links", tmp_path / "sdists", "example"], "/", environ)
    assert refused.returncode != 0, "uv builds all the same"
    assert not (tmp_path / "target" / "example.py").exists()
    built = command("pip", "wheel", "--no-index", "-w", tmp_path / "wheels", project, environ=environ)
    assert built.returncode == 0, built.stderr
    done = run_text([uv, *into, "--find-links", tmp_path / "wheels", "example"], "/", environ)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target" / "example.py").exists()
    assert IN_SANDBOX in facts(project)


def test_tox_installs_what_was_built(project: Path, tmp_path: Path) -> None:
    programs = install(tmp_path / "environment", "tox")
    text = '[tool.tox]\nenv_list = ["t"]\n[tool.tox.env_run_base]\ncommands = [["python", "-c", "import example"]]\n'
    (project / "tox.toml").write_text(text.replace("tool.tox.", "").replace("[tool.tox]\n", ""))
    built = command("build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", project)
    assert built.returncode == 0, built.stderr
    assert IN_SANDBOX in facts(project)
    argv = [programs / "tox", "run", "--workdir", tmp_path / "tox", "--installpkg", tmp_path / "dist" / WHEEL]
    done = run_text(argv, project, home(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert facts(project) == []


def test_every_file_of_the_page_is_tried_here() -> None:
    names = set(re.findall(r"^``(\S+\.py)``:$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert names
    # The command line of pyodide needs a cross-build environment; its builder is tried above.
    assert names - {"isolated_pyodide.py"} <= set(re.findall(r'"(isolated\S*\.py)"', Path(__file__).read_text()))
