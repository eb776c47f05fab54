"""Wheels and trees get into an environment. The integration tests check that this happens in a sandbox."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import installer
import pytest

from isolated_hooks.frontends.build.installation import scheme_of
from isolated_hooks.frontends.build.unpacking import main

LIBRARY = os.path.dirname(os.path.dirname(installer.__file__))


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    (tmp_path / "environment" / "bin").mkdir(parents=True)
    return tmp_path / "environment"


def unpack(environment: Path, monkeypatch: pytest.MonkeyPatch, directory: Path) -> int:
    monkeypatch.setattr(sys, "path", [*sys.path])
    order = {"library": LIBRARY, "directory": str(directory), "scheme": scheme_of(str(environment))}
    return main(json.dumps(order))


def site(environment: Path) -> Path:
    return Path(scheme_of(str(environment))["purelib"])


def wheel(directory: Path, name: str, files: dict[str, str], version: str = "1.0") -> None:
    info = f"{name}-{version}.dist-info"
    files = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    path = directory / f"{name}-{version}-py3-none-any.whl"
    directory.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{member},,\n" for member in [*files, f"{info}/RECORD"]))


def test_a_wheel(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "one/__init__.py": "",
        "one-1.0.data/scripts/tool": "#!python\n",
        "one-1.0.data/data/share/one": "data",
        "one-1.0.data/headers/one.h": "header",
        "one-1.0.dist-info/entry_points.txt": "[console_scripts]\nentry = one:main\n",
    }
    wheel(tmp_path, "one", files)
    assert unpack(environment, monkeypatch, tmp_path) == 0
    python = f"#!{environment}/bin/python"
    assert (environment / "bin" / "tool").read_text().splitlines()[0] == python
    assert (environment / "bin" / "entry").read_text().splitlines()[0] == python
    assert os.access(environment / "bin" / "entry", os.X_OK)
    assert (environment / "share" / "one").read_text() == "data"
    assert (Path(scheme_of(str(environment))["headers"]) / "one" / "one.h").read_text() == "header"
    assert (site(environment) / "one-1.0.dist-info" / "INSTALLER").read_text() == "isolated-hooks\n"


def test_two_wheels_with_one_file_in_common(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        wheel(tmp_path, name, {"shared/__init__.py": name})
    assert unpack(environment, monkeypatch, tmp_path) == 0
    assert (site(environment) / "shared" / "__init__.py").read_text() == "two"


def test_another_version_takes_the_place(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "first", "One_two", {"one/old.py": "", "one/moved.py": "of one_two"})
    wheel(tmp_path / "first", "other", {"one/kept.py": ""})
    assert unpack(environment, monkeypatch, tmp_path / "first") == 0
    wheel(tmp_path / "second", "One_two", {"one/new.py": ""}, "2.0")
    # It is unpacked before, and the old version of the other is not to take its file away.
    wheel(tmp_path / "second", "A", {"one/moved.py": "of a"})
    assert unpack(environment, monkeypatch, tmp_path / "second") == 0
    assert sorted(os.listdir(site(environment) / "one")) == ["kept.py", "moved.py", "new.py"]
    assert (site(environment) / "one" / "moved.py").read_text() == "of a"
    infos = {name for name in os.listdir(site(environment)) if name.endswith("info")}
    assert infos == {"A-1.0.dist-info", "One_two-2.0.dist-info", "other-1.0.dist-info"}


def test_the_same_version_is_left_as_it_is(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "first", "One.two", {"one.py": "first"})
    wheel(tmp_path / "second", "one_two", {"one.py": "second", "two.py": ""})
    for directory in ("first", "second"):
        assert unpack(environment, monkeypatch, tmp_path / directory) == 0
    assert (site(environment) / "one.py").read_text() == "first"
    assert not (site(environment) / "two.py").exists()


@pytest.mark.parametrize("member", ["../escaped", "one-1.0.data/scripts/../../../escaped", "/escaped"])
def test_a_wheel_that_leaves_its_place_is_named(
    member: str, environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(tmp_path, "one", {member: ""})
    assert unpack(environment, monkeypatch, tmp_path) == 1
    assert "one-1.0-py3-none-any.whl: " in capsys.readouterr().err
    assert list(tmp_path.rglob("escaped")) == []


def test_what_is_no_wheel_is_named(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one-1.0-py3-none-any.whl").write_text("no archive")
    assert unpack(environment, monkeypatch, tmp_path) == 1
    assert "one-1.0-py3-none-any.whl: BadZipFile" in capsys.readouterr().err


def test_a_tree(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twin, tree = f"{tmp_path}/interpreter/bin/python", tmp_path / "tree"
    inside = tree / site(environment).relative_to(environment)
    (inside / "one").mkdir(parents=True)
    (inside / "one" / "text.py").write_text(f"#!{twin}\n")
    (tree / "bin").mkdir()
    long = f"#!/bin/sh\n'''exec' '{twin}' \"$0\" \"$@\"\n' '''\nprint('{twin}')\n"
    (tree / "bin" / "short").write_text(f"#!{twin}\nprint('{twin}')\n")
    (tree / "bin" / "long").write_text(long)
    (tree / "bin" / "binary").write_bytes(f"\x7fELF\n{twin}".encode())
    for script in (tree / "bin").iterdir():
        script.chmod(0o755)
    assert unpack(environment, monkeypatch, tmp_path) == 0
    python = f"{environment}/bin/python"
    assert (environment / "bin" / "short").read_text() == f"#!{python}\nprint('{twin}')\n"
    assert (environment / "bin" / "long").read_text() == long.replace(twin, python, 1)
    assert (environment / "bin" / "binary").read_bytes() == f"\x7fELF\n{twin}".encode()
    assert os.access(environment / "bin" / "binary", os.X_OK)
    assert (site(environment) / "one" / "text.py").read_text() == f"#!{twin}\n"


def test_a_tree_takes_the_place_of_other_versions(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path / "first", "One_two", {"one/old.py": ""})
    assert unpack(environment, monkeypatch, tmp_path / "first") == 0
    inside = tmp_path / "second" / "tree" / site(environment).relative_to(environment)
    info = inside / "one_two-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: one-two\nVersion: 2.0\n")
    (inside / "one.py").write_text("")
    assert unpack(environment, monkeypatch, tmp_path / "second") == 0
    assert sorted(os.listdir(site(environment))) == ["one.py", "one_two-2.0.dist-info"]


def test_a_tree_with_a_link_is_refused(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to("/etc/hostname")
    assert unpack(environment, monkeypatch, tmp_path) == 1
    assert "link is a symbolic link" in capsys.readouterr().err
    assert not os.path.lexists(environment / "link")
