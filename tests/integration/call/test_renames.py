"""A build moves files between its tree, its outputs and its temporary files, as on one file system outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.projects import caller, contents, facts, plain_caller, write_project

pytestmark = pytest.mark.usefixtures("sandbox")

MOVES = """
import ctypes, tempfile

def attempt(do, *arguments, **options):
    try:
        do(*arguments, **options)
    except OSError as error:
        return error.errno

def describe(path):
    status = os.lstat(path)
    return [oct(status.st_mode), status.st_mtime_ns, status.st_nlink if os.path.isdir(path) else 1]

def build_wheel(directory, config_settings=None, metadata_directory=None):
    temporary, results = tempfile.mkdtemp(), {}
    file, tree = os.path.join(temporary, "file"), os.path.join(temporary, "tree")
    with open(file, "w") as stream:
        stream.write("content")
    os.chmod(file, 0o751)
    os.utime(file, ns=(10**18, 10**18 + 7))
    results["file"] = [attempt(os.rename, file, "moved"), os.path.lexists(file), describe("moved")]
    os.makedirs(os.path.join(tree, "a/b"))
    os.symlink("b", os.path.join(tree, "a/link"))
    os.utime(tree, ns=(10**18, 10**18))
    results["tree"] = [attempt(os.rename, tree, "tree"), os.path.lexists(tree), describe("tree")]
    results["link"] = [attempt(os.link, "moved", file), open(file).read()]
    results["exists"] = attempt(os.link, "moved", file)
    os.unlink(file)
    with open(file, "w") as stream:
        stream.write("more")
    results["replaced"] = [attempt(os.replace, file, "moved"), os.path.lexists(file)]
    os.symlink("moved", os.path.join(temporary, "l"))
    results["symlink"] = [attempt(os.rename, os.path.join(temporary, "l"), "l"), os.readlink("l")]
    results["missing"] = attempt(os.rename, os.path.join(temporary, "missing"), "x")
    fd = os.open(temporary, os.O_RDONLY)
    results["at"] = attempt(os.rename, "moved", "again", dst_dir_fd=fd)
    results["again"] = open(os.path.join(temporary, "again")).read()
    libc = ctypes.CDLL(None, use_errno=True)
    keep = libc.renameat2(-100, os.path.join(temporary, "again").encode(), -100, b"l", 1)
    results["noreplace"] = [keep, ctypes.get_errno()]
    os.makedirs("build", exist_ok=True)
    name = _wheel("build", {"example.py": "ANSWER = 42\\n"})
    os.rename(os.path.join("build", name), os.path.join(directory, name))
    tell(**results)
    return name
"""


def test_files_links_and_directories_move_between_mounts(tmp_path: Path) -> None:
    told, built = [], []
    for name, make in (("outside", plain_caller), ("inside", caller)):
        project, out = write_project(tmp_path / name, extra=MOVES), tmp_path / f"{name}-out"
        out.mkdir()
        make(project).build_wheel(os.fspath(out))
        told += facts(project)
        built.append((contents(project / "tree"), contents(out)))
    assert told[0]["file"][:2] == [None, False]
    assert told[1] == told[0]
    assert built[1] == built[0]
