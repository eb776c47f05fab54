"""Hosts that are older or narrower than this one, made by seccomp filters around a process: refused, or told truly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from projects import clean_environ, facts, write_project

pytestmark = pytest.mark.usefixtures("sandbox")

NARROW = Path(__file__).parent / "narrow.py"
_CALL = """\
import json, sys, warnings
from isolated_hooks import *
warnings.simplefilter("ignore")
hooks = IsolatedHookCaller(sys.argv[1], "backend", ["."], policy=Policy(allow_degraded=sys.argv[2:]))
try:
    hooks.get_requires_for_build_sdist()
except (SandboxUnavailableError, SandboxSetupError) as error:
    print(json.dumps({"error": type(error).__name__, "missing": list(error.missing), "remedy": error.remedy}))
else:
    states = {s.protection.value: s.state.value for s in hooks.reports[-1].protections}
    print(json.dumps({"states": states}))
"""


def call(tmp_path: Path, *what: str, allowed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Call a hook on a host narrowed down, and return what came of it."""
    project = write_project(tmp_path / "project")
    argv = [sys.executable, os.fspath(NARROW), *what, "--", sys.executable, "-c", _CALL, os.fspath(project), *allowed]
    environ = clean_environ(TMPDIR=os.fspath(tmp_path))
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert len(facts(project)) == (1 if "states" in found else 0)
    return found


NO_NAMESPACES = "no-namespaces"


@pytest.mark.parametrize(
    "what",
    [("unshare=EPERM",), ("unshare=ENOSYS",), ("unshare=ENOSPC",), ("mount=EACCES",), ("mount=EPERM",)],
    ids="-".join,
)
def test_refused_by_default_and_run_with_one_word(what: tuple[str, ...], tmp_path: Path) -> None:
    """EPERM as in docker, ENOSYS as in CRI-O, ENOSPC of the limit; mounts alone refused as by AppArmor."""
    refused = call(tmp_path / "1", *what)
    assert refused["error"] == "SandboxUnavailableError"
    assert what[0].partition("=")[0] in refused["missing"][0]
    assert "--allow-degraded no-namespaces" in refused["remedy"]
    states = call(tmp_path / "2", *what, allowed=(NO_NAMESPACES,))["states"]
    degraded = {"filesystem", "temporary", "processes", "hostname"}
    degraded |= {"privileges"} if os.geteuid() == 0 else {"identity"}
    assert {name for name, state in states.items() if state == "degraded"} == degraded
    assert set(states.values()) == {"active", "degraded"}


def test_without_mount_setattr(tmp_path: Path) -> None:
    refused = call(tmp_path / "1", "mount_setattr=ENOSYS")
    assert refused["error"] == "SandboxUnavailableError"
    assert "mount_setattr" in " ".join(refused["missing"])


@pytest.mark.parametrize("landlock", ["landlock_create_ruleset=ENOSYS", "landlock-abi=1"])
def test_without_a_landlock_that_can_confine_a_build_nothing_is_run(landlock: str, tmp_path: Path) -> None:
    """ABI 1 lets no file be renamed into another directory, which setuptools does."""
    refused = call(tmp_path, landlock, "unshare=EPERM", allowed=(NO_NAMESPACES,))
    assert refused["error"] == "SandboxUnavailableError"
    assert "landlock_create_ruleset" in refused["missing"][0]
    assert "lsm=" in refused["remedy"]


@pytest.mark.parametrize("abi", [2, 3, 4, 5])
def test_an_older_landlock_confines_what_it_can(abi: int, tmp_path: Path) -> None:
    states = call(tmp_path, f"landlock-abi={abi}", "unshare=EPERM", allowed=(NO_NAMESPACES,))["states"]
    assert states["network"] == states["ipc"] == "active"
    assert states["processes"] == states["filesystem"] == "degraded"


def test_with_namespaces_landlock_is_not_needed(tmp_path: Path) -> None:
    states = call(tmp_path, "landlock_create_ruleset=ENOSYS")["states"]
    assert set(states.values()) == {"active"}


@pytest.mark.parametrize(("what", "name"), [("sethostname=EPERM", "hostname"), ("keyctl=EPERM", "keyring")])
def test_what_the_default_policy_takes_where_the_host_gives_it(what: str, name: str, tmp_path: Path) -> None:
    states = call(tmp_path, what)["states"]
    assert {key for key, state in states.items() if state == "degraded"} == {name}


def test_without_pivot_root_the_root_is_moved(tmp_path: Path) -> None:
    """As in docker with SYS_ADMIN, whose AppArmor profile refuses it."""
    assert set(call(tmp_path, "pivot_root=EPERM")["states"].values()) == {"active"}


def test_root_that_may_become_nobody_else_keeps_its_uid(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has another uid to become")
    states = call(tmp_path / "1", "setresuid=EPERM")["states"]
    assert {key for key, state in states.items() if state == "degraded"} == {"identity"}
    states = call(tmp_path / "2", "setresuid=EPERM", "unshare=EPERM", allowed=(NO_NAMESPACES,))["states"]
    assert (states["identity"], states["privileges"]) == ("degraded", "active")
