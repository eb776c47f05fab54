"""Hosts without user namespaces: refused by default. Landlock and seccomp confine hooks if the policy allows it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.projects import clean_environ, write_project
from support.repository import NARROW

from isolated_hooks import IsolatedHookCaller, Policy, Protection, ProtectionState, SandboxUnavailableError
from isolated_hooks.plan import Identity
from isolated_hooks.plan import system as shown_system
from isolated_hooks.run import trial

pytestmark = pytest.mark.usefixtures("sandbox")

ALL = frozenset((Identity.USER, Identity.SINGLE, Identity.RANGE, Identity.MIRROR, Identity.SHARED))
_ATTEMPT = """
import os, socket

def attempt(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"
"""
PROBE = (
    _ATTEMPT
    + """
def get_requires_for_build_sdist(config_settings=None):
    outside, port, name = open("targets").read().split()
    found = {
        "read": attempt(lambda: open(outside)),
        "write": attempt(lambda: open(outside + ".new", "w")),
        "shown": attempt(lambda: open(os.path.join(os.path.dirname(outside), "shown", "canary"), "w")),
        "tcp": attempt(lambda: socket.create_connection(("127.0.0.1", int(port)), timeout=5)),
        "abstract": attempt(lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + name)),
        "signal": attempt(lambda: os.kill(int(os.environ["MAKEFLAGS"]), 0)),
        "move": attempt(lambda: os.mkdir("sub") or open("sub/file", "w").close() or os.rename("sub/file", "moved")),
        "home": attempt(lambda: open(os.path.expanduser("~/mine"), "w")),
        "temporary": attempt(lambda: open(os.path.join(os.environ["TMPDIR"], "mine"), "w")),
    }
    open("found", "w").write(repr(found))
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open("daemon", "w").write(str(os.getpid()))
            __import__("time").sleep(600)
        os._exit(0)
    while not os.path.exists("daemon") or not open("daemon").read():
        pass
    return []
"""
)


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record that this host refuses every identity that needs a user namespace."""
    monkeypatch.setattr(trial, "refused_identities", lambda *_: ALL)
    monkeypatch.setattr(
        trial, "_tried", {(Identity.USER, (), False, "native"): {"syscall": "unshare", "errno": 1, "stage": "identity"}}
    )


@pytest.mark.usefixtures("no_namespaces")
def test_a_confined_hook_is_refused_by_default_with_a_remedy(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=PROBE)
    with pytest.raises(SandboxUnavailableError) as caught:
        IsolatedHookCaller(os.fspath(project), "backend", ["."]).get_requires_for_build_sdist()
    assert "unshare" in caught.value.missing[0]
    assert "filesystem" in caught.value.missing[1]
    assert "--allow-degraded no-namespaces" in caught.value.remedy
    assert not (project / "found").exists()


@pytest.mark.usefixtures("no_namespaces")
def test_with_weaker_protections_landlock_and_seccomp_still_protect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(tmp_path / "project", extra=PROBE)
    canary = tmp_path / "canary"
    canary.write_text("secret")
    name = f"isolated-hooks-test-{os.getpid()}"
    monkeypatch.setenv("MAKEFLAGS", str(os.getpid()))  # a variable that hooks get
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0{name}")
        abstract.listen()
        (project / "targets").write_text(f"{canary} {listener.getsockname()[1]} {name}")
        (tmp_path / "shown").mkdir()
        policy = Policy(allow_degraded=["no-namespaces"], expose=[tmp_path / "shown"])
        caller = IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=policy)
        with pytest.warns(UserWarning, match="degraded"):
            assert caller.get_requires_for_build_sdist() == []
    found = eval((project / "found").read_text())
    refused = "PermissionError"
    assert {key: found[key] for key in ("read", "write", "shown", "abstract", "signal")} == dict.fromkeys(
        ("read", "write", "shown", "abstract", "signal"), refused
    )
    assert found["tcp"] == "OSError"
    assert (found["home"], found["temporary"], found["move"]) == ("done", "done", "done")
    assert not (tmp_path / "canary.new").exists()
    assert not os.path.exists(f"/proc/{(project / 'daemon').read_text()}")
    report = caller.reports[-1]
    assert report.state(Protection.FILESYSTEM) is ProtectionState.DEGRADED
    assert report.state(Protection.NETWORK) is ProtectionState.ACTIVE


@pytest.mark.usefixtures("no_namespaces")
def test_a_path_that_cannot_be_hidden_is_refused(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=PROBE)
    policy = Policy(allow_degraded=["no-namespaces"], hide=[project / "pyproject.toml"])
    with pytest.raises(ValueError, match="hide"):
        IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=policy).get_requires_for_build_sdist()


def test_a_policy_that_requires_an_identity_refuses_the_callers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user, and so be refused it")
    refused = frozenset((Identity.SINGLE, Identity.RANGE, Identity.MIRROR))
    monkeypatch.setattr(trial, "refused_identities", lambda *_: refused)
    project = write_project(tmp_path / "project")
    with pytest.raises(SandboxUnavailableError, match="identity is degraded"):
        caller = IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=Policy(require=["identity"]))
        caller.get_requires_for_build_sdist()


@pytest.mark.usefixtures("no_namespaces")
def test_the_network_can_be_allowed_without_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project(tmp_path / "project", extra=PROBE)
    monkeypatch.setenv("MAKEFLAGS", str(os.getpid()))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (project / "targets").write_text(f"{tmp_path / 'canary'} {listener.getsockname()[1]} nobody")
        policy = Policy(allow_degraded=["no-namespaces"], network=True)
        caller = IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=policy)
        with pytest.warns(UserWarning, match="degraded"):
            caller.get_requires_for_build_sdist()
    assert eval((project / "found").read_text())["tcp"] == "done"
    assert caller.reports[-1].state(Protection.NETWORK) is ProtectionState.DISABLED


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

_OTHER_USER = """
import os

def get_requires_for_build_sdist(config_settings=None):
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    found = {"uid": os.getuid(), "groups": os.getgroups(), "caps": status["CapEff"].strip(), "bound": status["CapBnd"]}
    for name, what in {
        "write theirs": lambda: open("foreign", "a").write("more"),
        "replace": lambda: os.replace("foreign", "renamed") or os.replace("renamed", "foreign"),
        "move": lambda: os.mkdir("sub") or open("sub/file", "w").close() or os.rename("sub/file", "moved"),
        "mode": lambda: os.chmod("../theirs", 0o644),
        "mode of the tree": lambda: os.chmod("foreign", 0o777),
        "owner": lambda: os.chown("foreign", 0, 0),
        "shadow": lambda: open("/etc/shadow").read(),
        "core": lambda: open("/proc/sys/kernel/core_pattern", "w"),
        "back": lambda: os.setresuid(0, 0, 0),
    }.items():
        try:
            what()
            found[name] = "done"
        except OSError as error:
            found[name] = type(error).__name__
    open("found", "w").write(repr(found))
    if os.path.exists("wait"):
        if os.fork() == 0:
            os.setsid()
            open("grandchild", "w").write(str(os.getpid()))
            __import__("time").sleep(600)
        __import__("time").sleep(600)
    return []
"""


def _foreign_tree(tmp_path: Path) -> Path:
    project = write_project(tmp_path / "project", extra=_OTHER_USER)
    foreign = project / "foreign"
    foreign.write_text("text")
    foreign.chmod(0o600)
    os.chown(foreign, 1001, 105)
    (tmp_path / "theirs").write_text("text")
    return project


@root_only
@pytest.mark.usefixtures("no_namespaces")
def test_root_becomes_a_throw_away_user_with_one_capability(tmp_path: Path) -> None:
    project = _foreign_tree(tmp_path)
    policy = Policy(allow_degraded=["no-namespaces"], require=["identity"])
    caller = IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=policy)
    with pytest.warns(UserWarning, match="degraded"):
        caller.get_requires_for_build_sdist()
    found = eval((project / "found").read_text())
    assert found.pop("uid") in range(61184, 65520)
    assert (found.pop("groups"), int(found.pop("caps"), 16)) == ([], 1 << 1)  # CAP_DAC_OVERRIDE
    assert int(found.pop("bound"), 16) == 0
    assert found.pop("write theirs") == found.pop("replace") == found.pop("move") == "done"
    assert set(found.values()) == {"PermissionError"}
    status = (project / "foreign").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1001, 105, 0o600)
    assert (project / "found").stat().st_uid == 0  # the caller owns new files
    report = caller.reports[-1]
    assert report.state(Protection.IDENTITY) is ProtectionState.ACTIVE
    assert report.state(Protection.PRIVILEGES) is ProtectionState.DEGRADED


@root_only
@pytest.mark.usefixtures("no_namespaces")
def test_without_permission_for_the_one_capability_the_callers_user_holds_none(tmp_path: Path) -> None:
    project = _foreign_tree(tmp_path)
    allowed = ["filesystem", "temporary", "processes", "hostname", "identity"]
    caller = IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=Policy(allow_degraded=allowed))
    with pytest.warns(UserWarning, match="degraded"):
        caller.get_requires_for_build_sdist()
    found = eval((project / "found").read_text())
    assert (found["uid"], int(found["caps"], 16)) == (0, 0)
    assert found["core"] == found["shadow"] == "PermissionError"
    assert found["move"] == "done"  # as setuptools does with every wheel
    report = caller.reports[-1]
    assert report.state(Protection.IDENTITY) is ProtectionState.DEGRADED
    assert report.state(Protection.PRIVILEGES) is ProtectionState.ACTIVE


_FRONTEND = """
import sys, warnings
from isolated_hooks import IsolatedHookCaller, Policy
warnings.simplefilter("ignore")
policy = Policy(allow_degraded=["no-namespaces"])
IsolatedHookCaller(sys.argv[1], "backend", ["."], policy=policy).get_requires_for_build_sdist()
"""


@root_only
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["frontend", "both"])
def test_after_a_kill_nothing_runs_on_and_the_next_call_gives_the_files_back(victim: str, tmp_path: Path) -> None:
    project = _foreign_tree(tmp_path)
    (project / "wait").touch()
    narrow = os.fspath(NARROW)
    environ = clean_environ(TMPDIR=os.fspath(tmp_path))
    argv = [sys.executable, narrow, "unshare=EPERM", "--", sys.executable, "-c", _FRONTEND, os.fspath(project)]
    with subprocess.Popen(argv, env=environ, start_new_session=True) as frontend:
        pid = _number(project / "grandchild")
        os.kill(frontend.pid, signal.SIGKILL) if victim == "frontend" else os.killpg(frontend.pid, signal.SIGKILL)
    (project / "wait").unlink()
    while victim == "frontend" and not _has_ended(pid):
        time.sleep(0.02)  # the launcher ends it
    subprocess.run(argv, env=environ, check=True)
    assert _has_ended(pid)
    assert {p.stat().st_uid for p in project.rglob("*")} == {0, 1001}
    assert [name for name in os.listdir(tmp_path) if name.startswith("isolated-hooks-")] == []


def _number(path: Path) -> int:
    while not path.exists() or not path.read_text():
        time.sleep(0.02)
    return int(path.read_text())


def _has_ended(pid: int) -> bool:
    """Return whether a process is gone, or dead and not yet reaped by its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


_OUTSIDE = (
    _ATTEMPT
    + """
def get_requires_for_build_sdist(config_settings=None):
    outside, there = open("targets").read().split()
    pair = socket.socketpair()[0]
    found = {
        "attribute": attempt(lambda: os.setxattr(outside, "user.mark", b"1")),
        "attribute of a readable directory": attempt(lambda: os.setxattr(os.open("/usr", 0), "user.mark", b"1")),
        "truncate": attempt(lambda: os.truncate(outside, 1)),
        "open and truncate": attempt(lambda: os.open(os.path.realpath("/etc/services"), os.O_RDONLY | os.O_TRUNC)),
        "connect": attempt(lambda: socket.socket(socket.AF_UNIX).connect(there)),
        "connect a pair": attempt(lambda: pair.connect(there)),
        "send": attempt(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", there)),
    }
    open("found", "w").write(repr(found))
    return []
"""
)


@pytest.mark.usefixtures("no_namespaces")
@pytest.mark.parametrize("network", [False, True])
def test_calls_that_landlock_does_not_confine_are_refused(
    network: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attributes and, before ABI 3, sizes of files that the hook may write by their modes; and sockets with a path."""
    project = write_project(tmp_path / "project", extra=_OUTSIDE)
    outside, there = tmp_path / "outside", tmp_path / "socket"
    outside.write_text("text")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        listener.listen()
        (project / "targets").write_text(f"{outside} {there}")
        policy = Policy(allow_degraded=["no-namespaces"], network=network)
        caller = IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=policy)
        with pytest.warns(UserWarning, match="degraded"):
            caller.get_requires_for_build_sdist()
    found = eval((project / "found").read_text())
    assert "done" not in found.values(), found
    assert (outside.read_text(), os.listxattr(outside)) == ("text", [])
    assert caller.reports[-1].state(Protection.IPC) is ProtectionState.ACTIVE


@pytest.mark.slow
def test_before_landlock_confined_truncation_no_file_outside_is_emptied(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=_OUTSIDE)
    outside = tmp_path / "outside"
    outside.write_text("text")
    (project / "targets").write_text(f"{outside} {tmp_path / 'socket'}")
    narrow = os.fspath(NARROW)
    command = [sys.executable, "-c", _FRONTEND, os.fspath(project)]
    argv = [sys.executable, narrow, "landlock-abi=2", "unshare=EPERM", "--", *command]
    subprocess.run(argv, env=clean_environ(TMPDIR=os.fspath(tmp_path)), check=True)
    found = eval((project / "found").read_text())
    assert found["truncate"] == found["open and truncate"] == "PermissionError"
    assert outside.read_text() == "text"


@root_only
@pytest.mark.usefixtures("no_namespaces")
def test_roots_hook_cannot_read_private_files_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "system"
    (system / "closed").mkdir(parents=True)
    for name in ("open", "private", "closed/inner"):
        (system / name).write_text("text")
    (system / "private").chmod(0o600)
    (system / "closed").chmod(0o700)
    monkeypatch.setattr(shown_system, "_SYSTEM", [*shown_system._SYSTEM, os.fspath(system)])
    paths = {name: os.fspath(system / name) for name in ("open", "private", "closed/inner")}
    project = write_project(
        tmp_path / "project",
        extra=f"""
def get_requires_for_build_sdist(config_settings=None):
    found = dict()
    for name, path in {paths!r}.items():
        try:
            found[name] = open(path).read()
        except OSError as error:
            found[name] = type(error).__name__
    found["names"] = sorted(__import__("os").listdir({os.fspath(system)!r}))
    open("found", "w").write(repr(found))
    return []
""",
    )
    caller = IsolatedHookCaller(
        os.fspath(project), "backend", ["."], policy=Policy(allow_degraded=["no-namespaces", "identity"])
    )
    with pytest.warns(UserWarning, match="degraded"):
        caller.get_requires_for_build_sdist()
    refused = "PermissionError"
    assert eval((project / "found").read_text()) == {
        "open": "text",
        "private": refused,
        "closed/inner": refused,
        "names": ["closed", "open", "private"],
    }


_STOPS_EVERY_PROCESS = """
import os, signal

def get_requires_for_build_sdist(config_settings=None):
    init = os.getppid()
    if os.fork() == 0:
        os.setsid()
        open("grandchild", "w").write(str(os.getpid()))
        while True:
            try:
                os.kill(init, 0)
            except ProcessLookupError:
                break
        while True:
            try:
                os.kill(-1, signal.SIGSTOP)
            except ProcessLookupError:
                pass
    while not os.path.exists("grandchild") or not open("grandchild").read():
        pass
    os.kill(init, signal.SIGKILL)
    os._exit(0)
"""


@root_only
@pytest.mark.slow
def test_a_hook_cannot_stop_the_process_that_ends_it(tmp_path: Path) -> None:
    """Before Landlock confined signals, the hook can signal every process of the throw-away uid."""
    narrow = os.fspath(NARROW)
    for number in range(3):
        project = write_project(tmp_path / f"{number}", extra=_STOPS_EVERY_PROCESS)
        command = [sys.executable, "-c", _FRONTEND, os.fspath(project)]
        argv = [sys.executable, narrow, "landlock-abi=5", "unshare=EPERM", "--", *command]
        done = subprocess.run(
            argv, env=clean_environ(TMPDIR=os.fspath(tmp_path)), check=False, timeout=60, capture_output=True
        )
        assert b"SIGKILL" in done.stderr, done.stderr
        assert _has_ended(_number(project / "grandchild"))
