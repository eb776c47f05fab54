"""Wheels and trees get into an environment. The integration tests check that this happens in a sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import installer
import pytest

from isolated_hooks.frontends.build import unpacking
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


def bytecode(directory: Path) -> list[str]:
    """Return the names of the modules whose bytecode is there."""
    return sorted(path.name.partition(".")[0] for path in (directory / "__pycache__").glob("*"))


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


def test_modules_are_compiled_as_an_import_would(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most are: without bytecode an import compiles them, and the hook can write none."""
    files = {
        "one/__init__.py": "VALUE = '\\w'",  # a warning must not fail it
        "one/broken.py": "def (",
        "one/deep.py": "(" * 100_000,
        "one/data.txt": "",
        "one-1.0.data/scripts/tool.py": "#!python\n",
    }
    wheel(tmp_path, "one", files)
    assert unpack(environment, monkeypatch, tmp_path) == 0
    package = site(environment) / "one"
    assert bytecode(package) == ["__init__"]
    assert not (environment / "bin" / "__pycache__").exists()
    code = "import sys; sys.path.insert(0, sys.argv[1]); import one; print(one.__cached__, one.VALUE)"
    done = subprocess.run([sys.executable, "-vBc", code, site(environment)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{package}/__pycache__/__init__.{sys.implementation.cache_tag}.pyc \\w\n"
    assert "code object from" in done.stderr
    assert f"matches {package}/__init__.py" in done.stderr


def test_a_file_that_holds_up_the_compiler_holds_up_nobody_else(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process has so much time, and what other processes compile is there. Nothing of it is left half-written."""
    monkeypatch.setattr(unpacking, "_SECONDS", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    slow = "class C:\n" + "".join(f" def f{n}(self):\n  return {n}\n" for n in range(150_000))
    wheel(tmp_path, "one", {"one/a.py": slow, "one/b.py": "", "one/c.py": ""})
    with monkeypatch.context() as patch:
        patch.setattr(unpacking, "_MOST_SOURCE", 1 << 30)
        assert unpack(environment, monkeypatch, tmp_path) == 0
    assert (site(environment) / "one" / "c.py").exists()
    # On some machines it reaches the limit of memory first, and its process goes on with the next file.
    assert bytecode(site(environment) / "one") in (["b"], ["b", "c"])


def test_a_list_of_files_that_is_malformed_fails_nothing(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "tree" / site(environment).relative_to(environment)
    for name, record in (("bad", 'a.py,,,,\n"\0'), ("good", "good.py,,\n")):
        (inside / f"{name}-1.0.dist-info").mkdir(parents=True)
        (inside / f"{name}-1.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
        (inside / f"{name}-1.0.dist-info" / "RECORD").write_text(record)
        (inside / f"{name}.py").write_text("")
    assert unpack(environment, monkeypatch, tmp_path) == 0
    assert bytecode(site(environment)) == ["good"]


@pytest.mark.parametrize("most", [0, 1 << 20], ids=["uncompiled", "compiled"])
def test_a_file_of_an_earlier_distribution_leaves_no_bytecode(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Both files have one size and one time, so an interpreter could not tell whose bytecode it is."""
    wheel(tmp_path / "first", "one", {"shared.py": "VALUE = 1"})
    wheel(tmp_path / "second", "two", {"shared.py": "VALUE = 2"})
    assert unpack(environment, monkeypatch, tmp_path / "first") == 0
    assert bytecode(site(environment)) == ["shared"]
    time = (site(environment) / "shared.py").stat().st_mtime_ns
    replace = unpacking._replace

    def replace_at_once(directory: str, scheme: Mapping[str, str]) -> set[str]:
        names = replace(directory, scheme)
        os.utime(site(environment) / "shared.py", ns=(time, time))
        return names

    monkeypatch.setattr(unpacking, "_replace", replace_at_once)
    monkeypatch.setattr(unpacking, "_MOST_SOURCE", most)
    assert unpack(environment, monkeypatch, tmp_path / "second") == 0
    code = "import sys; sys.path.insert(0, sys.argv[1]); import shared; print(shared.VALUE)"
    done = subprocess.run([sys.executable, "-Bc", code, site(environment)], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_bytecode_that_cannot_be_written_keeps_no_other_from_its_place(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    wheel(tmp_path, "one", {"a/__pycache__": "", "a/a.py": "", "b.py": "", f"{'c' * 240}.py": "", "d.py": ""})
    assert unpack(environment, monkeypatch, tmp_path) == 0
    assert bytecode(site(environment)) == ["b", "d"]


def test_a_distribution_that_cannot_be_read_back_is_installed(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path, "one", {"one.py": "", "one-1.0.data/purelib/bad-1.0.dist-info/METADATA": ""})
    install = unpacking._install

    def install_badly(path: str, scheme: Mapping[str, str]) -> None:
        install(path, scheme)
        (site(environment) / "bad-1.0.dist-info" / "METADATA").write_bytes(b"Name: bad\nAuthor: \xff\n")

    monkeypatch.setattr(unpacking, "_install", install_badly)
    assert unpack(environment, monkeypatch, tmp_path) == 0
    assert (site(environment) / "one.py").exists()


def test_large_distributions_are_not_compiled(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_MOST_SOURCE", 1000)
    for name, size in (("a", 600), ("b", 300), ("c", 500)):
        wheel(tmp_path, name, {f"{name}.py": "#" * size})
    assert unpack(environment, monkeypatch, tmp_path) == 0
    assert bytecode(site(environment)) == ["b", "c"]


def test_without_further_processes_nothing_is_compiled(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    wheel(tmp_path, "one", {"one.py": ""})
    assert unpack(environment, monkeypatch, tmp_path) == 0
    assert (site(environment) / "one.py").exists()
    assert bytecode(site(environment)) == []


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
    assert sorted(os.listdir(site(environment) / "one")) == ["__pycache__", "kept.py", "moved.py", "new.py"]
    assert bytecode(site(environment) / "one") == ["kept", "new"]
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
