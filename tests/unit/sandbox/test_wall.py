"""Landlock as the second wall: what it allows and what it refuses, tried in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isolated_hooks.sandbox import landlock, syscalls
from isolated_hooks.sandbox.landlock import DEVICE, OF_SOCKETS, SOCKETS, WRITE
from isolated_hooks.sandbox.operations import Bind, Scratch

_PROGRAM = """
import errno, json, os, socket, sys
sys.path.insert(0, sys.argv[1])
from sandbox import landlock, syscalls
os.chdir(sys.argv[2])
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
rules = [(b"/dev", landlock.DEVICE)]
rules += [(os.path.abspath(name).encode(), kind) for name, kind in (("own", landlock.WRITE), ("s", landlock.SOCKETS))]
landlock.build_wall(rules, None)
found = {}
def attempt(name, do, *arguments):
    try:
        do(*arguments)
        found[name] = "done"
    except OSError as error:
        found[name] = errno.errorcode[error.errno]
def bind(path):
    socket.socket(socket.AF_UNIX).bind(path)
for place in ("own", "other", "s"):
    attempt(f"{place} fifo", os.open, f"{place}/fifo", os.O_RDWR | os.O_NONBLOCK)
    attempt(f"{place} read", os.open, f"{place}/file", os.O_RDONLY)
    attempt(f"{place} write", os.open, f"{place}/file", os.O_WRONLY)
    attempt(f"{place} create", os.mkdir, f"{place}/new")
    attempt(f"{place} bind", bind, f"{place}/socket")
attempt("s unlink", os.unlink, "s/socket")
attempt("move", os.rename, "own/file", "own/directory/file")
attempt("device", os.open, "/dev/null", os.O_RDWR)
attempt("reopen", os.open, "/proc/self/fd/1", os.O_WRONLY)
print(json.dumps(found))
"""


def test_what_the_wall_allows(tmp_path: Path) -> None:
    try:
        if syscalls.landlock_abi() < landlock.MINIMUM_ABI:
            pytest.skip("this kernel's Landlock is too old")
    except syscalls.SyscallError:
        pytest.skip("this kernel has no Landlock")
    for name in ("own", "other", "s"):
        (tmp_path / name / "directory").mkdir(parents=True)
        (tmp_path / name / "file").touch()
        os.mkfifo(tmp_path / name / "fifo")
    package = str(Path(landlock.__file__).parents[1])
    output = tmp_path / "output"
    with output.open("w") as file:
        subprocess.run([sys.executable, "-c", _PROGRAM, package, str(tmp_path)], stdout=file, check=True)
    found = json.loads(output.read_text())
    done = {name for name, how in found.items() if how == "done"}
    allowed = {"own fifo", "own read", "own write", "own create", "other read", "s read", "s bind", "s unlink"}
    assert done == {*allowed, "move", "device", "reopen"}
    assert {found[name] for name in found.keys() - done} == {"EACCES"}


def test_the_rules_of_a_plan() -> None:
    scratch = Scratch("/.scratch", (("/tmp", 0o1777), (OF_SOCKETS.decode(), 0o700)), 1, 1)
    binds = (Bind("/usr", "/usr"), Bind("/a", "/b", writable=True), Bind("/dev/null", "/dev/null", device=True))
    rules = landlock.rules_of(operation.to_wire() for operation in (scratch, *binds))
    assert list(rules) == [(b"/dev", DEVICE), (b"/tmp", WRITE), (OF_SOCKETS, SOCKETS), (b"/b", WRITE)]
