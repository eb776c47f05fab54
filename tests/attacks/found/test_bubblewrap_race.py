"""CVE-2026-87766: bubblewrap before 0.12 follows links in its new root while it makes what it mounts on.

Somebody exchanges a directory of the source tree and a link out of the sandbox, again and again, while bwrap sets up.
Under bwrap alone that creates a file outside. Under our launcher the old root is read-only for bwrap.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from support.projects import write_project

from isolated_hooks import IsolatedHookCaller, Policy, Protection, SandboxUnavailableError
from isolated_hooks.launchers import bubblewrap as launcher
from isolated_hooks.run import remedies
from isolated_hooks.sandbox import bubblewrap, bubblewrap_guard
from isolated_hooks.sandbox.operations import Bind, Cover, Operation

_EXCHANGE = 2  # RENAME_EXCHANGE, renameat2(2)
_AT_FDCWD = -100
_RUNS = 20


class World:
    """A source tree with a directory that an accomplice exchanges for a link to a directory outside."""

    def __init__(self, base: Path) -> None:
        self.tree = write_project(base / "tree")
        self.outside = base / "outside"
        self.outside.mkdir()
        self.outside.chmod(0o777)  # as root, bwrap runs under a uid that has nothing
        (self.tree / "a").mkdir()
        self.target = self.tree / "a" / "made"
        self.target.write_text("secret")
        # bwrap's own name for the host's root while it sets up.
        (self.tree / "link").symlink_to(f"/oldroot{self.outside}")

    @contextlib.contextmanager
    def exchanging(self) -> Iterator[None]:
        """Let another process exchange the two all the time, and put the directory back at the end."""
        names = os.fsencode(self.tree / "a"), os.fsencode(self.tree / "link")
        libc = ctypes.CDLL(None, use_errno=True)
        pid = os.fork()
        if pid == 0:
            try:
                while True:
                    libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)
                    time.sleep(0.0002)
            finally:
                os._exit(0)
        try:
            yield
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            if (self.tree / "a").is_symlink():
                libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)

    def made(self) -> list[str]:
        """Return the names outside."""
        return os.listdir(self.outside)


@pytest.fixture
def world() -> Iterator[World]:
    base = Path(tempfile.mkdtemp(dir="/var/tmp"))
    base.chmod(0o755)
    yield World(base)
    shutil.rmtree(base)


def _version() -> tuple[int, ...]:
    said = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", said)))


@pytest.mark.usefixtures("sandbox", "bubblewrap")
def test_bwrap_alone_creates_a_file_outside(world: World) -> None:
    if _version() >= (0, 12):
        pytest.skip("this bubblewrap is 0.12 or newer, which follows no link out of its new root")
    tree = os.fspath(world.tree)
    command = ["bwrap", "--unshare-user", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib64", "/lib64"]
    command += ["--bind", tree, tree, "--ro-bind", "/dev/null", os.fspath(world.target), "/usr/bin/true"]
    with world.exchanging():
        for _ in range(_RUNS):
            subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    assert world.made() == ["made"]


@pytest.mark.slow
@pytest.mark.usefixtures("sandbox", "bubblewrap")
def test_under_our_launcher_nothing_is_created_outside(world: World) -> None:
    """The plan is made before the exchanges begin; then we start its command again and again."""
    codes = []

    def runner(command: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        assert command[4:6] == ["bubblewrap", "/usr/bin/bwrap"]
        with world.exchanging():
            for _ in range(_RUNS):
                done = subprocess.run(command, cwd=cwd, env=environ, stderr=subprocess.DEVNULL, check=False)
                codes.append(done.returncode)
        subprocess.run(command, cwd=cwd, env=environ, check=True)

    hooks = IsolatedHookCaller(
        os.fspath(world.tree),
        "backend",
        ["."],
        runner,
        sys.executable,
        policy=Policy(launcher="bubblewrap", hide=[world.target]),
    )
    hooks.get_requires_for_build_wheel()
    assert world.made() == []
    assert 125 in codes  # some of them met the link, and were refused


@pytest.mark.usefixtures("sandbox", "bubblewrap")
def test_the_report_and_the_doctor_name_what_it_means_here(tmp_path: Path) -> None:
    old = _version() < (0, 12)
    availability = launcher.Bubblewrap().availability()
    assert ("CVE-2026-87766" in availability.reason) == old
    project = write_project(tmp_path / "project")
    hooks = IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=Policy(launcher="bubblewrap"))
    hooks.get_requires_for_build_wheel()
    (status,) = (s for s in hooks.reports[-1].protections if s.protection is Protection.FILESYSTEM)
    assert ("CVE-2026-87766" in status.reason) == old


_TREE = Bind("/project", "/project", writable=True)


@pytest.mark.parametrize(
    ("operations", "found"),
    [
        ((_TREE,), False),
        ((_TREE, Bind("/usr", "/usr")), False),
        ((_TREE, Bind("/project-2", "/project-2")), False),
        ((_TREE, Bind("/project/.git", "/project/.git")), True),
        ((_TREE, Cover("/call/nothing", "/project/a/secret")), True),
        ((_TREE, Bind("/call/output", "/project/dist", writable=True)), True),
        ((Bind("/project", "/project"), Bind("/project/.git", "/project/.git")), False),
    ],
)
def test_a_mount_in_a_tree_that_others_change_is_found(operations: tuple[Operation, ...], found: bool) -> None:
    assert bubblewrap_guard.mounts_in_trees(operations) == found


class _RefusedError(Exception):
    """The policy does not allow the degradation."""


class _Degradations:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def allow(self, protection: str, reason: str) -> None:
        self.reasons.append(reason)
        assert protection == "filesystem"
        raise _RefusedError


def _wrapped(features: str, operations: Sequence[Operation]) -> bubblewrap.Wrapped:
    wrapped = object.__new__(bubblewrap.Wrapped)
    wrapped.plan = {"identity": {"of_root": False, "throw_away": False}}
    wrapped.operations = list(operations)
    wrapped.tool = bubblewrap.Tool(b"/usr/bin/bwrap", frozenset(features.split()), 9)
    wrapped.degradations = _Degradations()  # type: ignore[assignment]
    return wrapped


def test_where_only_bwrap_may_make_user_namespaces_an_old_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bubblewrap_guard, "enter_user_namespace", lambda: False)
    (tmp_path / ".git").mkdir()
    tree = Bind(os.fspath(tmp_path), os.fspath(tmp_path), writable=True)
    git = Bind(f"{tmp_path}/.git", f"{tmp_path}/.git")
    assert _wrapped("", [tree])._take_identity() == {}
    with pytest.raises(_RefusedError):
        _wrapped("", [tree, git])._take_identity()
    with pytest.raises(_RefusedError):
        _wrapped("bind-fd", [tree, git])._take_identity()
    sources = _wrapped("bind-fd beneath", [tree, git])._take_identity()
    assert {path: os.fstat(fd).st_ino for path, fd in sources.items() if isinstance(fd, int)} == {
        path.at: os.stat(path.source).st_ino for path in (tree, git)
    }
    for fd in sources.values():
        assert isinstance(fd, int)
        os.close(fd)


def test_the_refusal_names_the_fault_and_the_remedy() -> None:
    status = {"stage": "bubblewrap", "syscall": "CVE-2026-87766", "errno": 1}
    error = remedies.refusal(status)
    assert isinstance(error, SandboxUnavailableError)
    assert "older than 0.12" in error.missing[0]
    assert error.remedy.startswith("install bubblewrap 0.12 or newer; or ")


def test_a_source_by_descriptor_becomes_an_option_that_takes_one() -> None:
    read_only, writable = Bind("/a", "/a"), Bind("/b", "/b", writable=True)
    plan = {"network": False, "hostname": b"localhost", "identity": {"throw_away": True}}
    words = bubblewrap.arguments(plan, [read_only, writable], {b"/a": 7, b"/b": 8}, bubblewrap.Files())
    assert words[words.index(b"--ro-bind-fd") :][:3] == [b"--ro-bind-fd", b"7", b"/a"]
    assert words[words.index(b"--bind-fd") :][:3] == [b"--bind-fd", b"8", b"/b"]


@pytest.mark.parametrize(
    ("said", "features"),
    [
        ("bubblewrap 0.8.0", ""),
        ("bubblewrap 0.10.0", "bind-fd"),
        ("bubblewrap 0.11.2", "bind-fd"),
        ("bubblewrap 0.12.0", "bind-fd,beneath"),
        ("bubblewrap 0.12", "bind-fd,beneath"),
        ("bubblewrap 1.0.0", "bind-fd,beneath"),
        ("bubblewrap 0.7.0", None),
        ("bubblewrap 0.12.0 and more", None),
        ("bubblewrap 0.1٢.0", None),
        ("bubblewrap 0.12.0\nbubblewrap 0.8.0", None),
        ("", None),
    ],
)
def test_the_version_decides_about_its_features(
    said: str, features: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{said}\nE\n")
    program.chmod(0o755)
    monkeypatch.setattr(launcher, "_PATHS", (os.fspath(program),))
    launcher._examine.cache_clear()
    try:
        availability = launcher.Bubblewrap().availability()
        assert availability.available == (features is not None)
        if features is not None:
            command = launcher.Bubblewrap().command(None, "/workspace", ["true"])  # type: ignore[arg-type]
            assert command[-6:] == ["bubblewrap", os.fspath(program), features, "/workspace", "--", "true"]
            assert ("CVE-2026-87766" in availability.reason) == ("beneath" not in features)
    finally:
        launcher._examine.cache_clear()
