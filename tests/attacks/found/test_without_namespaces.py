"""Found from outside: system calls that reach the host's files and processes where a hook has no namespaces.

Landlock has no right for them, so the filter has to refuse them: flags of files, requests to files that are open for
reading, extended attributes, inotify, priorities. Each attack is shown to work without the sandbox first.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyproject_hooks
import pytest
from support.projects import write_project

from isolated_hooks import HookReport, IsolatedHookCaller, Policy, Protection, ProtectionState
from isolated_hooks.plan import Identity
from isolated_hooks.protections import ROWS
from isolated_hooks.run import trial

pytestmark = pytest.mark.usefixtures("sandbox")

_NAMESPACES = frozenset((Identity.USER, Identity.SINGLE, Identity.RANGE, Identity.MIRROR, Identity.SHARED))
_NUMBERS = {  # x86_64, aarch64
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "listen": (50, 201),
}
_COLUMN = ("x86_64", "aarch64").index(platform.machine())
# Owners are what matters for files of the caller, so as root the hook keeps the caller's uid.
_OWN_UID = ["filesystem", "temporary", "processes", "hostname", "identity"]
_PROBE = """
import ctypes, fcntl, os, resource, socket, struct

libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *wide)
    if result < 0:
        raise OSError(ctypes.get_errno(), "syscall")
    return result

def attempt(what):
    try:
        what()
    except OSError as error:
        return os.strerror(error.errno)
    return "done"

def watch(path):
    fd = call(NUMBERS["inotify_init1"], 0o4000)
    call(NUMBERS["inotify_add_watch"], fd, path.encode(), 0x100)

def listen(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    call(NUMBERS["listen"], server.fileno(), 1)

def set_flags(path):
    fd = os.open(path, os.O_RDONLY)
    (flags,) = struct.unpack("l", fcntl.ioctl(fd, 0x80086601, bytes(8)))
    fcntl.ioctl(fd, 0x40086602, struct.pack("l", flags | 0x40))

def set_priority_of_user():
    try:
        os.setpriority(os.PRIO_USER, 0, os.getpriority(os.PRIO_PROCESS, 0))
    except PermissionError as error:
        # Some process of this user, another test's for instance, is nicer. All others have it, setpriority(2).
        if error.errno != 13:
            raise

def get_requires_for_build_sdist(config_settings=None):
    outside, readable, victim = open("targets").read().split()
    victim = int(victim)
    tries = {
        "flags by path": lambda: call(469, -100, outside.encode(), struct.pack("QIIII", 0x80, 0, 0, 0, 0), 24, 0),
        "flags of what is read": lambda: set_flags(readable),
        "read an attribute": lambda: os.getxattr(outside, "user.secret"),
        "list attributes": lambda: os.listxattr(outside),
        "watch": lambda: watch(os.path.dirname(outside)),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, victim, 19),
        "priority of a user's": set_priority_of_user,
        "priority of input": lambda: call(NUMBERS["ioprio_set"], 1, victim, 3 << 13),
        "processors": lambda: os.sched_setaffinity(victim, os.sched_getaffinity(victim)),
        "scheduler": lambda: os.sched_setscheduler(victim, os.SCHED_BATCH, os.sched_param(0)),
        "listen": lambda: listen("listening"),
        "take an abstract name": lambda: socket.socketpair()[0].bind(chr(0) + f"isolated-hooks-test-{os.getpid()}"),
        "leave a socket": lambda: socket.socketpair()[0].bind("left"),
    }
    works = {
        "own priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0)),
        "own processors": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
        "bytes in a pipe": lambda: fcntl.ioctl(os.pipe()[0], 0x541B, bytes(4)),
        "copy": lambda: __import__("shutil").copy2("pyproject.toml", "copy"),
        "processors of the host": lambda: open("/proc/cpuinfo").read(),
        "own status": lambda: open("/proc/self/status").read(),
    }
    open("found", "w").write(repr([{n: attempt(w) for n, w in each.items()} for each in (tries, works)]))
    return []
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project, beside it a file of the caller's with an attribute, and a process of the caller's."""
    numbers = {name: pair[_COLUMN] for name, pair in _NUMBERS.items()}
    project = write_project(tmp_path / "project", extra=f"NUMBERS = {numbers!r}\n{_PROBE}")
    for name in ("outside", "readable"):
        (tmp_path / name).write_text("text")
    with subprocess.Popen(["sleep", "600"]) as victim:
        try:
            os.setxattr(tmp_path / "outside", "user.secret", b"secret")
            (project / "targets").write_text(f"{tmp_path / 'outside'} {tmp_path / 'readable'} {victim.pid}")
            yield project
        finally:
            victim.kill()


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record that this host refuses every identity that needs a user namespace."""
    refused = {"syscall": "unshare", "errno": 1, "stage": "identity"}
    monkeypatch.setattr(trial, "refused_identities", lambda *_: _NAMESPACES)
    monkeypatch.setattr(trial, "_tried", {(Identity.USER, (), False, "native"): refused})


def _confined(project: Path, allowed: list[str]) -> HookReport:
    policy = Policy(allow_degraded=allowed, expose=[project.parent / "readable"])
    caller = IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=policy)
    with pytest.warns(UserWarning, match="degraded"):
        caller.get_requires_for_build_sdist()
    return caller.reports[-1]


def _found(project: Path) -> tuple[dict[str, str], dict[str, str]]:
    tries, works = eval((project / "found").read_text())
    return tries, works


def test_without_the_sandbox_each_attack_works(project: Path) -> None:
    caller = pyproject_hooks.BuildBackendHookCaller(
        os.fspath(project), "backend", ["."], python_executable=sys.executable
    )
    caller.get_requires_for_build_sdist()
    tries, works = _found(project)
    by_kernel = {"flags by path"}  # file_setattr(2) is new in Linux 6.17
    assert {name: what for name, what in tries.items() if what != "done" and name not in by_kernel} == {}
    assert set(works.values()) == {"done"}


@pytest.mark.usefixtures("no_namespaces")
@pytest.mark.parametrize("allowed", [["no-namespaces"], _OWN_UID], ids=["throw-away", "own"])
def test_the_filter_refuses_what_landlock_does_not_confine(project: Path, allowed: list[str]) -> None:
    _confined(project, allowed)
    tries, works = _found(project)
    assert {name: what for name, what in tries.items() if what == "done"} == {}
    assert {name: what for name, what in works.items() if what != "done"} == {}


# One attempt for each right of Landlock that no other wall covers: the modes would let the caller's uid do all of it.
_EACH_RIGHT = """
import os, stat, subprocess

def get_requires_for_build_sdist(config_settings=None):
    os.chdir("..")
    os.mkdir("project/directory")
    open("project/mine", "w").close()
    tries = {
        "EXECUTE": lambda: subprocess.run(["beside/program"], check=True),
        "WRITE_FILE": lambda: open("beside/file", "r+"),
        "READ_FILE": lambda: open("beside/file"),
        "READ_DIR": lambda: os.listdir("beside"),
        "REMOVE_DIR": lambda: os.rmdir("beside/directory"),
        "REMOVE_FILE": lambda: os.unlink("beside/link"),
        "MAKE_DIR": lambda: os.mkdir("beside/new-directory"),
        "MAKE_REG": lambda: os.mknod("beside/new-file"),
        "MAKE_SOCK": lambda: os.mknod("beside/new-socket", stat.S_IFSOCK | 0o600),
        "MAKE_FIFO": lambda: os.mkfifo("beside/new-fifo"),
        "MAKE_SYM": lambda: os.symlink("/", "beside/new-link"),
        "REFER, in": lambda: os.link("beside/other", "project/linked"),
        "REFER, out": lambda: os.rename("project/mine", "beside/mine"),
        "TRUNCATE": lambda: os.truncate("beside/file", 1),
        "WRITE_FILE in what is read": lambda: open("readable", "r+"),
        "TRUNCATE of what is read": lambda: os.truncate("readable", 1),
    }
    found = {}
    for name, what in tries.items():
        try:
            what()
        except (OSError, subprocess.CalledProcessError):
            continue
        found[name] = "done"
    open("project/found", "w").write(repr([found, {}]))
    return []
"""


def _beside(project: Path) -> Path:
    """Plant what the attempts need beside the project, and return a project that tries them."""
    beside = project.parent / "beside"
    (beside / "directory").mkdir(parents=True)
    for name in ("file", "other", "program"):
        (beside / name).write_text("#!/bin/sh\n")
    (beside / "program").chmod(0o755)
    (beside / "link").symlink_to("file")
    (project / "backend.py").write_text((project / "backend.py").read_text().partition("NUMBERS = ")[0] + _EACH_RIGHT)
    return project


def test_without_the_sandbox_each_right_is_there(project: Path) -> None:
    _beside(project)
    pyproject_hooks.BuildBackendHookCaller(
        os.fspath(project), "backend", ["."], python_executable=sys.executable
    ).get_requires_for_build_sdist()
    assert len(_found(project)[0]) == 16


@pytest.mark.usefixtures("no_namespaces")
@pytest.mark.parametrize("allowed", [["no-namespaces"], _OWN_UID], ids=["throw-away", "own"])
def test_landlock_gives_no_right_outside(project: Path, allowed: list[str]) -> None:
    _confined(_beside(project), allowed)
    assert _found(project)[0] == {}


_READS_PROC = """
import os

def get_requires_for_build_sdist(config_settings=None):
    victim = int(open("targets").read().split()[2])
    found = []
    for path in ("/proc/net/tcp", "/proc/slabinfo", *(f"/proc/{victim}/{n}" for n in NAMES)):
        try:
            os.listdir(path) if os.path.isdir(path) else os.read(os.open(path, os.O_RDONLY), 1)
        except OSError:
            continue
        found.append(path.replace(str(victim), "PID"))
    open("found", "w").write(repr([found, []]))
    return []
"""
_OF_A_PROCESS = "cmdline mountinfo fd environ mem maps root cwd fdinfo/0 fd/0".split()


@pytest.mark.usefixtures("no_namespaces")
@pytest.mark.parametrize("allowed", [["no-namespaces"], _OWN_UID], ids=["throw-away", "own"])
def test_the_report_says_what_of_proc_is_open(project: Path, allowed: list[str]) -> None:
    """A rule of Landlock for /proc/self would have to name each process of the hook, so /proc is open as a whole."""
    extra = f"NAMES = {_OF_A_PROCESS!r}\n{_READS_PROC}"
    write_project(project.parent / "other", extra=extra)
    (project.parent / "other/targets").write_text((project / "targets").read_text())
    report = _confined(project.parent / "other", allowed)
    found, _ = _found(project.parent / "other")
    root = os.geteuid() == 0
    readable = {"/proc/net/tcp", "/proc/PID/cmdline", "/proc/PID/mountinfo", "/proc/PID/fd"}
    assert set(found) == readable | ({"/proc/slabinfo"} if root else set())
    status = next(s for s in report.protections if s.protection is Protection.PROCESSES)
    assert status.state is ProtectionState.DEGRADED
    for words in ("command lines, mounts and descriptor numbers", "/proc/net", "neither signal nor"):
        assert words in status.reason
    if root and allowed != _OWN_UID:
        assert "slabinfo" in status.reason


def test_the_words_claim_no_more_than_the_filter_and_landlock_give() -> None:
    files = ROWS[Protection.FILESYSTEM]
    assert files.confined is not None
    assert files.separate is not None
    assert "stat" in files.confined.words
    assert "mode, group and times" in files.confined.words
    assert "watch" not in files.separate.words
