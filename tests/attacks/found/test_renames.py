"""Pid 1, which moves files for a hook, moves nothing that the hook could not read and remove itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.attacks.place import quiet

from isolated_hooks import IsolatedHookCaller, Limits, Policy
from isolated_hooks.sandbox import renames

pytestmark = pytest.mark.usefixtures("sandbox")

_BACKEND = """
import json, os, socket, tempfile, threading

def attempt(do, *arguments):
    try:
        do(*arguments)
        return "done"
    except OSError as error:
        return type(error).__name__

def get_requires_for_build_wheel(config_settings=None):
    found, top = {}, tempfile.mkdtemp()
    for name in ("environ", "mem", "maps", "cmdline", "status"):
        for call in (os.rename, os.link):
            for process in ("1", "self", "thread-self"):
                attempt(call, f"/proc/{process}/{name}", f"{top}/{name}")
        found[name] = os.path.exists(f"{top}/{name}")
    for path in ("/etc/passwd", "/usr/bin/env", ".git", ".git/config"):
        found[path] = attempt(os.rename, path, f"{top}/moved")
    open(f"{top}/program", "w").close()
    found["into"] = attempt(os.rename, f"{top}/program", ".git/hooks/post-commit")
    # A link in the place of a directory or of the file while pid 1 works.
    os.mkdir(f"{top}/d")
    stop = threading.Event()
    def swap():
        while not stop.is_set():
            for target in ("/proc/1", f"{top}/d"):
                attempt(os.symlink, target, f"{top}/new")
                attempt(os.replace, f"{top}/new", f"{top}/here")
    thread = threading.Thread(target=swap)
    thread.start()
    for _ in range(300):
        attempt(os.link, f"{top}/here/environ", "leaked")
        open(f"{top}/d/environ", "w").close()
        if os.path.exists("leaked"):
            found["leaked"] = found.get("leaked", "") + open("leaked").read()
            os.unlink("leaked")
    stop.set()
    thread.join()
    os.mkfifo(f"{top}/fifo")
    found["fifo"] = attempt(os.rename, f"{top}/fifo", "fifo")
    found["sparse"] = attempt(os.truncate, os.open(f"{top}/sparse", os.O_CREAT | os.O_RDWR), 1 << 40)
    found["sparse"] = attempt(os.rename, f"{top}/sparse", "sparse")
    with open("answer", "w") as file:
        json.dump(found, file)
    return []
"""


def test_nothing_of_pid_1_and_nothing_read_only_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "hunter2")
    tree = tmp_path / "tree"
    (tree / ".git/hooks").mkdir(parents=True)
    (tree / ".git/config").write_text("[core]\n")
    (tree / "backend.py").write_text(_BACKEND)
    IsolatedHookCaller(os.fspath(tree), "backend", ["."], quiet).get_requires_for_build_wheel({})
    found = json.loads((tree / "answer").read_text())
    assert [name for name in ("environ", "mem", "maps", "cmdline", "status") if found[name]] == []
    refused = ("/etc/passwd", "/usr/bin/env", ".git", ".git/config", "into", "fifo", "sparse")
    assert {found[name] for name in refused} <= {"OSError", "PermissionError"}
    assert "hunter2" not in found.get("leaked", "")
    assert (tree / ".git/config").read_text() == "[core]\n"
    assert not (tree / ".git/hooks/post-commit").exists()


_ENDLESS = """
import json, os, tempfile, threading

def get_requires_for_build_wheel(config_settings=None):
    top, stop = tempfile.mkdtemp(), threading.Event()
    with open("source", "wb") as file:
        for _ in range(100):
            file.write(os.urandom(1 << 20))
    def grow():
        # As soon as pid 1 copies, the file gets longer than the space for temporary files.
        while not os.listdir(top) and not stop.is_set():
            pass
        os.truncate("source", 1 << 40)
    thread = threading.Thread(target=grow)
    thread.start()
    os.rename("source", f"{top}/moved")
    size = os.path.getsize(f"{top}/moved")
    stop.set()
    thread.join()
    with open("answer", "w") as file:
        json.dump(size, file)
    return []
"""


def test_a_file_that_grows_does_not_occupy_pid_1(tmp_path: Path) -> None:
    (tmp_path / "backend.py").write_text(_ENDLESS)
    policy = Policy(limits=Limits(temp_size=1 << 29))
    IsolatedHookCaller(os.fspath(tmp_path), "backend", ["."], quiet, policy=policy).get_requires_for_build_wheel({})
    assert json.loads((tmp_path / "answer").read_text()) == 100 << 20


def test_a_directory_that_grows_deeper_than_a_stack_does_not_end_pid_1(tmp_path: Path) -> None:
    here = top = os.open(tmp_path, os.O_RDONLY)
    for _ in range(sys.getrecursionlimit() + 100):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        if here != top:
            os.close(here)
        here = there
    os.close(here)
    try:
        renames._remove(top, b"d")  # no error: what is too deep stays
        assert os.listdir(top) == ["d"]
    finally:
        os.close(top)
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)
