"""Without user namespaces: refused by default, and confined by Landlock and seccomp where the policy allows it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from projects import write_project

from isolated_hooks import IsolatedHookCaller, Policy, Protection, ProtectionState, SandboxUnavailableError, host
from isolated_hooks.plan import Identity

pytestmark = pytest.mark.usefixtures("sandbox")

ALL = frozenset((Identity.USER, Identity.SINGLE, Identity.RANGE, Identity.MIRROR, Identity.SHARED))
PROBE = """
import os, socket

def attempt(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"

def get_requires_for_build_sdist(config_settings=None):
    outside, port, name = open("targets").read().split()
    found = {
        "read": attempt(lambda: open(outside)),
        "write": attempt(lambda: open(outside + ".new", "w")),
        "usr": attempt(lambda: open("/usr/lib/isolated-hooks-canary", "w")),
        "tcp": attempt(lambda: socket.create_connection(("127.0.0.1", int(port)), timeout=5)),
        "abstract": attempt(lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + name)),
        "signal": attempt(lambda: os.kill(int(os.environ["MAKEFLAGS"]), 0)),
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


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this host be known as one that refuses every identity that needs a user namespace."""
    monkeypatch.setattr(host, "refused_identities", lambda *_: ALL)
    monkeypatch.setattr(
        host, "_tried", {(Identity.USER, (), False, "native"): {"syscall": "unshare", "errno": 1, "stage": "identity"}}
    )


@pytest.mark.usefixtures("no_namespaces")
def test_it_is_refused_by_default_with_what_is_missing_and_the_remedy(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=PROBE)
    with pytest.raises(SandboxUnavailableError) as caught:
        IsolatedHookCaller(os.fspath(project), "backend", ["."]).get_requires_for_build_sdist()
    assert "unshare" in caught.value.missing[0]
    assert "filesystem" in caught.value.missing[1]
    assert "--allow-degraded no-namespaces" in caught.value.remedy
    assert not (project / "found").exists()


@pytest.mark.usefixtures("no_namespaces")
def test_what_is_allowed_to_be_weaker_still_holds_what_landlock_and_seccomp_can(
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
        policy = Policy(allow_degraded=["no-namespaces"])
        caller = IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=policy)
        with pytest.warns(UserWarning, match="degraded"):
            assert caller.get_requires_for_build_sdist() == []
    found = eval((project / "found").read_text())
    refused = "PermissionError"
    assert {key: found[key] for key in ("read", "write", "usr", "abstract", "signal")} == dict.fromkeys(
        ("read", "write", "usr", "abstract", "signal"), refused
    )
    assert found["tcp"] == "OSError"
    assert (found["home"], found["temporary"]) == ("done", "done")
    assert not (tmp_path / "canary.new").exists()
    assert not os.path.exists(f"/proc/{(project / 'daemon').read_text()}")
    report = caller.reports[-1]
    assert report.state(Protection.FILESYSTEM) is ProtectionState.DEGRADED
    assert report.state(Protection.NETWORK) is ProtectionState.ACTIVE


@pytest.mark.usefixtures("no_namespaces")
def test_what_cannot_be_hidden_is_refused(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=PROBE)
    policy = Policy(allow_degraded=["no-namespaces"], hide=[project / "pyproject.toml"])
    with pytest.raises(ValueError, match="hide"):
        IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=policy).get_requires_for_build_sdist()


def test_a_policy_that_requires_an_identity_refuses_the_callers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be the one who may become nobody else")
    refused = frozenset((Identity.SINGLE, Identity.RANGE, Identity.MIRROR))
    monkeypatch.setattr(host, "refused_identities", lambda *_: refused)
    project = write_project(tmp_path / "project")
    with pytest.raises(SandboxUnavailableError, match="identity is degraded"):
        caller = IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=Policy(require=["identity"]))
        caller.get_requires_for_build_sdist()


@pytest.mark.usefixtures("no_namespaces")
def test_the_network_can_be_allowed_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
