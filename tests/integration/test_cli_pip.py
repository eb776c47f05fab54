"""``isolated-hooks pip``: pip as ever, with every hook in a sandbox, in every pip that it starts."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path

import pytest
from projects import WHEEL, command, facts, run_text, write_project

from isolated_hooks import Policy
from isolated_hooks.frontends.pip import pip_command

pytestmark = pytest.mark.usefixtures("sandbox")

OFFLINE = ("--no-index", "--no-cache-dir")
# Sees, from inside, that this is the sandbox.
SANDBOXED = """
def get_requires_for_build_wheel(config_settings=None):
    tell(home=os.environ["HOME"])
    return []
"""

HOSTILE = """
import base64, hashlib, os, zipfile

CANARY = {canary!r}
HERE = os.path.dirname(CANARY)
TAG = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
METADATA = "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n"


def attack(where):
    try:
        with open(CANARY, "a") as file:
            print(where, file=file)
    except OSError:
        pass


attack("backend of {name}")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    files = {{
        "{name}.py": "NAME = {name!r}\\n",
        "{name}.pth": f"import os; os.access({{HERE!r}}, os.W_OK) and open({{CANARY + '-pth'!r}}, 'a').write('x')\\n",
        "{name}-1.0.dist-info/METADATA": METADATA,
        "{name}-1.0.dist-info/WHEEL": TAG,
    }}
    record = ""
    name = "{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for path, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{{path}},sha256={{digest}},{{len(text.encode())}}\\n"
            wheel.writestr(path, text)
        wheel.writestr("{name}-1.0.dist-info/RECORD", record + "{name}-1.0.dist-info/RECORD,,\\n")
    return name
"""


def sdist(directory: Path, name: str, backend: str, requires: str = "[]") -> Path:
    """Write an sdist with an in-tree backend."""
    directory.mkdir(parents=True, exist_ok=True)
    pyproject = f'[build-system]\nrequires = {requires}\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"pyproject.toml": pyproject, "backend.py": backend, "PKG-INFO": f"Name: {name}\nVersion: 1.0\n"}
    path = directory / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(f"{name}-1.0/{file}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", extra=SANDBOXED)


def test_a_wheel_is_built_and_the_hooks_are_told_of(project: Path, tmp_path: Path) -> None:
    done = command("pip", "wheel", *OFFLINE, "-w", tmp_path / "out", project)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]
    assert facts(project)[0] == {"home": "/sandbox"}
    assert "* Ran 3 hooks in a sandbox: get_requires_for_build_wheel, prepare_metadata_for_build_wheel" in done.stderr
    assert "Building wheel for example (pyproject.toml)" in done.stdout


@pytest.mark.parametrize("by_us", [True, False])
def test_a_build_requirement_that_exists_as_hostile_sdist_alone(by_us: bool, tmp_path: Path) -> None:
    """It is built by a pip that pip starts, and its .pth file lies in the build environment from then on."""
    canary = tmp_path / "canary"
    links = tmp_path / "links"
    sdist(links, "evil", HOSTILE.format(canary=os.fspath(canary), name="evil"))
    needs_more = "\ndef get_requires_for_build_wheel(config_settings=None):\n    return ['worse']\n"
    sdist(links, "worse", HOSTILE.format(canary=os.fspath(canary), name="worse"), "['evil']")
    sdist(tmp_path, "good", HOSTILE.format(canary=os.fspath(canary), name="good") + needs_more, "['evil']")
    arguments = ("wheel", *OFFLINE, "--find-links", links, "-w", tmp_path / "out", tmp_path / "good-1.0.tar.gz")
    # The option is not handed down to the pips that pip starts.
    environ = {"PIP_NO_CACHE_DIR": "1"}
    argv = ["pip", *arguments]
    done = command(*argv, environ=environ) if by_us else run_text([sys.executable, "-m", *argv], environ=environ)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == ["good-1.0-py3-none-any.whl"]
    attacks = canary.read_text().splitlines() if canary.exists() else []
    if by_us:
        assert attacks == []
        assert not (tmp_path / "canary-pth").exists()
        # Of good, of worse, and of evil for each of them.
        assert "* Ran 12 hooks in a sandbox: " in done.stderr
    else:
        assert {"backend of evil", "backend of worse", "backend of good"} <= set(attacks), "the attack is none"
        assert (tmp_path / "canary-pth").exists(), "the .pth file is none"


def test_the_command_for_others(project: Path, tmp_path: Path) -> None:
    done = run_text([*pip_command(Policy()), "wheel", *OFFLINE, "-w", tmp_path / "out", project])
    assert done.returncode == 0, done.stderr
    assert facts(project)[0] == {"home": "/sandbox"}
