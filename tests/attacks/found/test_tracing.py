"""A build traces its own processes, as LeakSanitizer and debuggers do, and neither pid 1 nor a process outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.attacks.place import quiet
from support.projects import cannot_run

from isolated_hooks import IsolatedHookCaller

pytestmark = pytest.mark.usefixtures("sandbox")

_BACKEND = """
import ctypes, errno, json, os, signal, time

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
SEIZE, ATTACH, DETACH = 0x4206, 16, 17

def trace(pid, request):
    ctypes.set_errno(0)
    if libc.ptrace(request, pid, None, None) < 0:
        return errno.errorcode[ctypes.get_errno()]
    if request == ATTACH:
        os.waitpid(pid, 0)
        libc.ptrace(DETACH, pid, None, None)
    return "traced"

def child():
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return pid

def opened(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
        return "opened"
    except OSError as error:
        return errno.errorcode[error.errno]

def get_requires_for_build_wheel(config_settings=None):
    found = {}
    for name, request in (("seize", SEIZE), ("attach", ATTACH)):
        pid = child()
        found["child, " + name] = trace(pid, request)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found["pid 1, " + name] = trace(1, request)
        found["outside, " + name] = trace(int(config_settings["outside"]), request)
    for name in ("mem", "environ", "maps", "fd", "root"):
        found[name] = opened("/proc/1/" + name)
    with open("answer", "w") as file:
        json.dump(found, file)
    return []
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    (path / "backend.py").write_text(_BACKEND)
    return path


def traced(tree: Path, kind: type[pyproject_hooks.BuildBackendHookCaller]) -> dict[str, Any]:
    outside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        settings: Any = {"outside": str(outside.pid)}
        kind(os.fspath(tree), "backend", ["."], runner=quiet).get_requires_for_build_wheel(settings)
    finally:
        outside.kill()
        outside.wait()
    found: dict[str, Any] = json.loads((tree / "answer").read_text())
    return found


def test_a_build_traces_only_its_own_processes(tree: Path) -> None:
    bare = traced(tree, pyproject_hooks.BuildBackendHookCaller)
    if bare["child, attach"] != "traced":
        cannot_run("this host forbids ptrace")
    found = traced(tree, IsolatedHookCaller)
    assert {name: answer for name, answer in found.items() if name.startswith("child")} == {
        "child, seize": "traced",
        "child, attach": "traced",
    }
    for name in ("pid 1, seize", "pid 1, attach"):
        assert found[name] == "EPERM"
    for name in ("outside, seize", "outside, attach"):
        assert found[name] in ("ESRCH", "EPERM")
    assert {found[name] for name in ("mem", "environ", "maps", "fd", "root")} <= {"EACCES", "EPERM", "ENOENT"}
