"""The test suites of pyproject_hooks and of build pass with our hook caller in the place of theirs.

What has to differ is listed here, each with the exception and the reason; such a test that passes is an error too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest
from support.projects import cannot_run, clean_environ, run_text
from support.repository import FETCH_SDISTS, TESTS

import isolated_hooks

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.corpus, pytest.mark.network]

_NONE = ("UntrustedResultError", "their backend returns None in the place of the name of a directory")
_WRITES = ("CalledProcessError", "their backend writes into a directory that is none of the hook's outputs")
_CALLS = "tests/test_call_hooks.py::"
_HOOKS = {
    f"{_CALLS}test_prepare_metadata_for_build_wheel": _NONE,
    f"{_CALLS}test_prepare_metadata_for_build_editable": _NONE,
    f"{_CALLS}test_custom_python_executable": ("PolicyError", "the interpreter has to exist, so that it can be shown"),
}
_NAME = ("UntrustedResultError", "their backend returns the name of a module as a requirement, which PEP 508 has not")
_INTREE = "tests/test_inplace_hooks.py::test_intree_backend_importlib_metadata_interoperation"
_BUILDER = "tests/test_projectbuilder.py::"
DIFFERENCES = {
    ("pyproject_hooks", "1.0.0"): {**_HOOKS, f"{_CALLS}test_issue_104": _WRITES},
    ("pyproject_hooks", "1.2.0"): {**_HOOKS, f"{_CALLS}test_path_pollution": _WRITES, _INTREE: _NAME},
    ("pyproject_hooks", "1.3.3"): {
        **_HOOKS,
        f"{_CALLS}test_path_pollution": _WRITES,
        f"{_CALLS}test_path_pollution_symlinked_in_process": _WRITES,
        _INTREE: _NAME,
    },
    ("build", "1.6.1"): {
        f"{_BUILDER}test_metadata_path_no_prepare[False]": (
            "UntrustedResultError",
            "their backend returns the path of the wheel, where PEP 517 says its base name",
        ),
        f"{_BUILDER}test_metadata_invalid_wheel[False]": (
            "UntrustedResultError",
            "a wheel with a name that is none is refused before build sees it",
        ),
    },
}
# Of build those that construct hook callers and ask no index: what tests environments, the command line and whole
# packages does the same with or without us, and takes minutes.
FILES = {
    "pyproject_hooks": ["tests"],
    "build": [f"tests/test_{name}.py" for name in ("projectbuilder", "util", "module")],
}
# Since 77 setuptools warns of what their samples say, and their configuration makes warnings errors.
REQUIREMENTS = {
    "pyproject_hooks": ["testpath", "setuptools>=30", "tomli"],
    "build": [
        "pytest-mock",
        "pytest-rerunfailures",
        "filelock",
        "setuptools>=67.8,<77",
        "wheel",
        "virtualenv",
        "tomli",
    ],
}
AS_ROOT = f"{_BUILDER}test_init_permission_error[False]"  # fails for root with their own class, too


@pytest.mark.parametrize(("name", "version"), DIFFERENCES)
def test_their_suite_passes(name: str, version: str, tmp_path: Path) -> None:
    root = _unpack(name, version, tmp_path)
    python = _environment(tmp_path / "environment", [f"{name}=={version}", *REQUIREMENTS[name]])
    argv = [python, "-m", "pytest", "-q", "-p", "support.upstream_plugin", "-p", "no:cacheprovider"]
    if name == "build":
        argv += ["-m", "not network", *([f"--deselect={AS_ROOT}"] if os.geteuid() == 0 else [])]
    done = subprocess.run(
        [*argv, *FILES[name]],
        cwd=root,
        env=clean_environ(UPSTREAM_DIFFERENCES=json.dumps(DIFFERENCES[name, version]), PYTHONPATH=os.fspath(TESTS)),
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
    )
    if done.returncode:
        pytest.fail((done.stdout + done.stderr)[-10_000:], pytrace=False)
    callers, hooks = map(int, re.findall(r"SWAPPED (\d+) callers, (\d+) hooks", done.stdout)[0])
    assert min(callers, hooks) > 5, done.stdout


def _unpack(name: str, version: str, directory: Path) -> Path:
    fetched = run_text([sys.executable, FETCH_SDISTS, directory, f"{name}=={version}"])
    if fetched.returncode:
        cannot_run(f"the sdist of {name} cannot be fetched: {fetched.stderr}")
    with tarfile.open(next(directory.glob("*.tar.gz"))) as archive:
        archive.extractall(directory)
    return directory / f"{name}-{version}"


def _environment(directory: Path, requirements: list[str]) -> Path:
    """Make an environment with the requirements, pytest, and this package as it is here."""
    venv.create(directory, with_pip=True, symlinks=True)
    python = directory / "bin" / "python"
    install = [
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "pytest",
        "build",
        "installer",
        "packaging",
        "pyproject_hooks",
        *requirements,
    ]
    # Without the time limit of the other commands: this is downloads.
    installed = subprocess.run(install, capture_output=True, check=False, text=True)
    if installed.returncode:
        cannot_run(f"the requirements of the tests cannot be installed: {installed.stderr}")
    library = next(directory.glob("lib/python*/site-packages"))
    source = os.path.dirname(os.path.dirname(isolated_hooks.__file__))
    (library / "isolated_hooks_here.pth").write_text(f"{source}\n")
    return python
