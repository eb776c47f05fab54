"""Builds work with unusual paths: names of all kinds, links, and unusual places."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest
from support.index import Index, write_wheel
from support.lanes import fast, first_fast
from support.projects import (
    INFO,
    SDIST,
    WHEEL,
    caller,
    clean_environ,
    command,
    contents,
    facts,
    nothing_left,
    plain_caller,
    write_project,
)

from isolated_hooks import IsolatedHookCaller, Policy

pytestmark = pytest.mark.usefixtures("sandbox")

NAMES = {
    "spaces": "a  b ",
    "newline": "a\nb",
    "tab and bell": "a\tb\a",
    "unicode": "Ünïcode-日本語-🐍",
    "right to left": "a\u202eb",
    "not UTF-8": os.fsdecode(b"\xff\xfe-\x80"),
    "quotes": "a'b\"c`d$e",
    "backslash": "a\\040b\\",
    "colon and comma": "a:b,c=d",
    "hyphen": "-rf",
    "percent and braces": "%s{0}${HOME}*?[x]",
    "dots": "...",
    "long": "x" * 200,
}
_FAST = ("newline", "unicode", "not UTF-8", "colon and comma")


@pytest.mark.parametrize("name", fast(NAMES, _FAST, slow=["quotes", "backslash", "hyphen", "dots", "long"]))
def test_names_of_source_and_output(name: str, tmp_path: Path) -> None:
    directory = tmp_path / NAMES[name]
    try:
        project = write_project(directory / "project", extra="tell(cwd=os.fsencode(os.getcwd()).hex())")
    except OSError as error:
        pytest.skip(f"this file system does not allow the name: {error}")
    out = directory / "out"
    out.mkdir()
    hooks = caller(project)
    with nothing_left(tmp_path):
        assert hooks.build_wheel(os.fspath(out)) == WHEEL
        assert hooks.build_sdist(os.fspath(project / "dist")) == SDIST
        prepared = hooks.prepare_metadata_for_build_wheel(os.fspath(out))
        hooks.build_wheel(os.fspath(out / "again"), metadata_directory=os.fspath(out / prepared))
    hook_facts = facts(project)
    assert {entry["cwd"] for entry in hook_facts if "cwd" in entry} == {os.fsencode(project).hex()}
    assert hook_facts[-1]["prepared"] == ["METADATA", "WHEEL"]
    assert set(os.listdir(out)) == {"again", INFO, WHEEL}
    assert os.listdir(project / "dist") == [SDIST]


@pytest.mark.parametrize("name", fast(["newline", "spaces", "unicode", "not UTF-8"], [], slow=["newline", "not UTF-8"]))
def test_the_commands_work_with_odd_names(name: str, tmp_path: Path) -> None:
    directory = tmp_path / NAMES[name]
    write_project(directory / "project")
    done = command("build", "-nw", "-o", "out", "project", cwd=directory)
    assert done.returncode == 0, done.stderr
    assert os.listdir(directory / "out") == [WHEEL]
    done = command("run", "--", "cat", "pyproject.toml", cwd=directory / "project")
    assert done.stdout == (directory / "project" / "pyproject.toml").read_text()
    assert command("explain", cwd=directory / "project").returncode == 0


def test_a_temporary_directory_with_an_odd_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project(tmp_path / "project")
    temporary = tmp_path / "a b\nü'\\"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", os.fspath(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert caller(project).build_wheel(os.fspath(tmp_path / "out")) == WHEEL
    assert os.listdir(temporary) == []


# Links.


def test_a_source_tree_behind_links(tmp_path: Path) -> None:
    real = write_project(tmp_path / "real" / "project", extra="tell(cwd=os.getcwd())")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "first").symlink_to("../real")
    (tmp_path / "second").symlink_to(tmp_path / "links" / "first" / "project")
    for source in (tmp_path / "second", tmp_path / "links" / "first" / "project"):
        hooks = caller(source)
        assert hooks.build_wheel(os.fspath(source / "dist")) == WHEEL
        hooks.build_editable(os.fspath(tmp_path / "out"))
        plain = plain_caller(source)
        (tmp_path / "plain").mkdir(exist_ok=True)
        plain.build_editable(os.fspath(tmp_path / "plain"))
        assert contents(tmp_path / "out") == contents(tmp_path / "plain")
    assert os.listdir(real / "dist") == [WHEEL]
    assert {entry["cwd"] for entry in facts(real) if "cwd" in entry} == {os.fspath(real)}


def test_links_within_the_tree(tmp_path: Path) -> None:
    extra = "tell(inner=open('inner').read(), outer=os.path.exists('outer'), absolute=open('absolute').read())"
    project = write_project(tmp_path / "project", extra=extra, files={"file": "inside"})
    (tmp_path / "secret").write_text("outside")
    (project / "inner").symlink_to("file")
    (project / "absolute").symlink_to(project / "file")
    (project / "outer").symlink_to("../secret")
    caller(project).get_requires_for_build_wheel()
    assert facts(project)[0] == {"inner": "inside", "outer": False, "absolute": "inside"}


def test_an_output_directory_behind_links(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    caller(project).build_wheel(os.fspath(tmp_path / "link"))
    caller(project).build_sdist(os.fspath(tmp_path / "link" / "sub"))
    assert sorted(contents(tmp_path / "real")) == [WHEEL, "sub", f"sub/{SDIST}"]
    assert (tmp_path / "link").is_symlink()


# The place of the tree.


def test_a_source_tree_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    extra = (
        "tell(home=sorted(os.listdir(sys.argv[0] and os.path.dirname(HERE))), cred=os.path.exists(HERE + '/../.netrc'))"
    )
    project = write_project(home / "project", extra=extra)
    (home / ".netrc").write_text("machine example login me password secret")
    monkeypatch.setenv("HOME", os.fspath(home))
    caller(project).build_wheel(os.fspath(home / "out"))
    assert facts(project)[0] == {"home": ["out", "project"], "cred": False}
    assert os.listdir(home / "out") == [WHEEL]


def test_a_home_directory_may_be_exposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project(tmp_path / "project")
    monkeypatch.setenv("HOME", os.fspath(project))
    assert caller(project, Policy(expose=[project])).build_wheel(os.fspath(tmp_path / "out")) == WHEEL


def test_temporary_files_within_the_source_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = (
        "tell(temporary=[os.listdir(entry.path) for entry in os.scandir(HERE + '/tmp') if 'isolated' in entry.name])"
    )
    project = write_project(tmp_path / "project", extra=extra)
    (project / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(project / "tmp"))
    hooks = caller(project)
    assert hooks.build_wheel(os.fspath(project / "tmp" / "out")) == WHEEL
    assert hooks.build_sdist(os.fspath(project / "dist")) == SDIST
    assert contents(project / "tmp").keys() == {"out", f"out/{WHEEL}"}
    # The hook must not change the workspace, so the workspace is not in the source tree.
    assert [entry["temporary"] for entry in facts(project) if "temporary" in entry] == [[], []]


NEEDS = """[build-system]
requires = ["needed"]
build-backend = "backend"
backend-path = ["."]
"""


@pytest.mark.slow
@pytest.mark.parametrize("frontend", [("build", "--wheel", "-o"), ("pip", "wheel", "-w")], ids=lambda f: str(f[0]))
def test_temporary_files_and_a_source_tree_in_memory(frontend: tuple[str, ...], index: Index, tmp_path: Path) -> None:
    """/dev/shm holds ordinary files, although it is in /dev."""
    write_wheel(index.project("needed"), "needed")
    files, without = {"pyproject.toml": NEEDS}, ["get_requires_for_build_wheel"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        project = write_project(f"{memory}/project", extra="import needed", files=files, without=without)
        (Path(memory) / "temporary").mkdir()
        environ = {**index.environ(), "TMPDIR": f"{memory}/temporary"}
        done = command(*frontend, tmp_path / "out", project, environ=environ)
        assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]


def test_an_environment_within_the_source_tree(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra="tell(prefix=sys.prefix)")
    venv.create(project / ".venv", with_pip=False, symlinks=True)
    hooks = caller(project, python_executable=os.fspath(project / ".venv" / "bin" / "python"))
    assert hooks.build_wheel(os.fspath(project / "dist")) == WHEEL
    assert facts(project)[0] == {"prefix": os.fspath(project / ".venv")}


@pytest.mark.slow
def test_a_tree_within_a_tree(tmp_path: Path) -> None:
    outer = write_project(tmp_path / "outer")
    inner = write_project(outer / "packages" / "inner", extra="tell(above=os.listdir(os.path.dirname(HERE)))")
    (outer / "packages" / "sibling").mkdir()
    caller(inner).build_wheel(os.fspath(outer / "dist"))
    assert facts(inner)[0] == {"above": ["inner"]}
    assert os.listdir(outer / "dist") == [WHEEL]


def test_a_relative_source_and_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_project(tmp_path / "project")
    monkeypatch.chdir(tmp_path)
    hooks = IsolatedHookCaller("project", "backend", ["."])
    hooks.build_wheel("out")
    assert os.listdir(tmp_path / "out") == [WHEEL]
    monkeypatch.chdir(tmp_path / "project")
    IsolatedHookCaller(".", "backend", ["."]).build_sdist(".")
    assert (tmp_path / "project" / SDIST).is_file()


def test_the_working_directory_of_the_frontend_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project(tmp_path / "project", extra="tell(cwd=os.getcwd())")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    hooks = caller(project)
    (tmp_path / "gone").rmdir()
    assert hooks.build_wheel(os.fspath(tmp_path / "out")) == WHEEL
    assert facts(project)[0] == {"cwd": os.fspath(project)}


@pytest.mark.parametrize("arguments", first_fast([["run", "--", "true"], ["explain"], ["build", "-n"]]))
def test_the_commands_report_that_their_directory_is_gone(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", program, "-m", "isolated_hooks", *arguments],
        cwd=tmp_path / "gone",
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in (1, 2)
    assert "ERROR" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tree_with_hard_links_and_special_files_builds(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", files={"one": "text"})
    os.link(project / "one", project / "two")
    os.mkfifo(project / "fifo")
    assert caller(project).build_wheel(os.fspath(tmp_path / "out")) == WHEEL


@pytest.mark.slow
def test_a_deep_tree(tmp_path: Path) -> None:
    # The full path is longer than PATH_MAX.
    project = write_project(tmp_path / "project")
    extra = """
def get_requires_for_build_wheel(_=None):
    for _ in range(1500):
        os.mkdir("deeper")
        os.chdir("deeper")
    return []
"""
    write_project(project, extra=extra)
    hooks = caller(project)
    hooks.get_requires_for_build_wheel()
    assert hooks.build_wheel(os.fspath(tmp_path / "out")) == WHEEL
    subprocess.run(["rm", "-r", project / "deeper"], check=True)  # shutil.rmtree may exceed the recursion limit


@pytest.mark.slow
def test_the_report_of_build_names_existing_files(tmp_path: Path) -> None:
    write_project(tmp_path / "a b" / "project")
    done = command("build", "-n", "--report", "report.json", "project", cwd=tmp_path / "a b")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "a b" / "report.json").read_text())
    assert [Path(tmp_path / "a b" / entry["path"]).is_file() for entry in report["artifacts"]] == [True, True]
