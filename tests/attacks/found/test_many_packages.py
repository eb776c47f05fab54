"""Found by attack: a package of a wheelhouse that takes the policy, the name or the place of another one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.index import backend_sdist
from support.projects import command, write_project

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.slow]

ONE = "one-1.0-py3-none-any.whl"
# A backend that needs no name in pyproject.toml.
NAMELESS = {"pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'}
# The wheel of the project "one", made by somebody else.
POSES = f"""
NAME = {ONE!r}

def build_wheel(directory, config_settings=None, metadata_directory=None):
    path = os.path.join(directory, NAME)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("evil.py", "")
        wheel.writestr("one-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: one\\nVersion: 1.0\\n")
        wheel.writestr("one-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\n"
                       "Tag: py3-none-any\\n")
        wheel.writestr("one-1.0.dist-info/RECORD", "")
    return NAME
"""
RENAMES = """
def get_requires_for_build_wheel(config_settings=None):
    import socket
    with open("interfaces", "a") as file:
        file.write(" ".join(name for _, name in socket.if_nameindex()) + "\\n")
    with open("pyproject.toml") as file:
        text = file.read()
    with open("pyproject.toml", "w") as file:
        file.write(text.replace('"example"', '"trusted"'))
    return []
"""

NAMES = """
def get_requires_for_build_wheel(config_settings=None):
    with open("pyproject.toml", "a") as file:
        file.write('[project]\\nname = "numpy"\\nversion = "1"\\n')
    return []
"""


def wheelhouse(place: Path, *arguments: str) -> dict[str, dict[str, object]]:
    """Run the command, and return what its report says of each package."""
    done = command("wheelhouse", "-w", "out", "--report", "report.json", "-j", "1", *arguments, cwd=place)
    assert done.returncode in (0, 1), done.stderr
    return {package["label"]: package for package in json.loads((place / "report.json").read_text())["packages"]}


def test_a_tree_chooses_no_table_of_the_policy(tmp_path: Path) -> None:
    """The first run's hook calls the project by the name of another one, which may use the network."""
    tree = write_project(tmp_path / "tree", extra=RENAMES)
    (tmp_path / "policy.toml").write_text("[packages.trusted]\nnetwork = true\n")
    assert wheelhouse(tmp_path, "--config", "policy.toml", "tree")["example"]["outcome"] == "refused"
    assert '"trusted"' in (tree / "pyproject.toml").read_text()
    again = command("wheelhouse", "-w", "out", "--config", "policy.toml", "tree", cwd=tmp_path)
    assert again.returncode == 2, again.stderr
    assert "trusted=tree" in again.stderr
    assert (tree / "interfaces").read_text() == "lo\n", "no hook of it has run again"
    other = command("wheelhouse", "-w", "out", "--config", "policy.toml", "example=tree", cwd=tmp_path)
    assert (other.returncode, "expected 'example'" in other.stderr) == (2, True)


def test_whoever_names_a_tree_gives_it_its_table(tmp_path: Path) -> None:
    write_project(tmp_path / "tree")
    (tmp_path / "policy.toml").write_text("[packages.Example]\nnetwork = true\n")
    (report,) = wheelhouse(tmp_path, "--config", "policy.toml", "Example=tree").values()
    assert report["outcome"] == "built"
    states = [hook["protections"]["network"]["state"] for hook in report["hooks"]]  # type: ignore[attr-defined]
    assert set(states) == {"disabled"}


def test_no_tree_takes_the_place_of_another_package(tmp_path: Path) -> None:
    write_project(tmp_path / "hostile", extra=POSES, files=NAMELESS)
    backend_sdist(tmp_path, "one")
    alone = wheelhouse(tmp_path, "hostile")
    assert alone["hostile"]["outcome"] == "built", "it works where nobody else has the name"
    (tmp_path / "out" / ONE).unlink()
    both = wheelhouse(tmp_path, "hostile", "one-1.0.tar.gz")
    assert (both["hostile"]["outcome"], both["one 1.0"]["outcome"]) == ("failed", "built")
    assert "is named after another package of this run" in str(both["hostile"]["error"])
    vetted = (tmp_path / "out" / ONE).read_bytes()
    later = wheelhouse(tmp_path, "hostile")
    assert "an earlier run has built" in str(later["hostile"]["error"])
    assert (tmp_path / "out" / ONE).read_bytes() == vetted
    named = wheelhouse(tmp_path, "other=hostile")
    assert named["other"]["outcome"] == "refused"
    assert sorted(os.listdir(tmp_path / "out")) == [ONE, f"{ONE}.json"]


def test_a_hook_does_not_choose_the_name_in_the_report(tmp_path: Path) -> None:
    names = "def get_requires_for_build_wheel(config_settings=None):\n"
    names += (
        "    open('pyproject.toml', 'a').write('[project]\\nname = \"numpy\"\\nversion = \"1\"\\n')\n    return []\n"
    )
    tree = write_project(tmp_path / "tree", extra=names, files=NAMELESS)
    assert [*wheelhouse(tmp_path, "tree")] == ["tree"]
    assert "numpy" in (tree / "pyproject.toml").read_text()
