"""Hooks in a sandbox inside another one, or inside a user namespace that maps only uid 0."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.projects import CLI, cannot_run, run_text, write_project

import isolated_hooks
from isolated_hooks import Protection
from isolated_hooks.run.situation import is_kernel_root

pytestmark = pytest.mark.usefixtures("sandbox")

_PROBE = """
import os

def get_requires_for_build_sdist(config_settings=None):
    def attempt(do):
        try:
            return do()
        except OSError as error:
            return type(error).__name__

    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    found = {
        "secret": attempt(lambda: open("../secret").read()),
        "write": attempt(lambda: open("../written", "w").close() or "done"),
        "kernel-root": os.stat("/proc/sys/kernel/core_pattern").st_uid == os.getuid(),
        "settings": os.access("/proc/sys/kernel/core_pattern", os.W_OK),
        "capabilities": status["CapEff"].strip(),
        "filters": int(status["Seccomp_filters"]),
        "home": attempt(lambda: open(os.path.expanduser("~/mine"), "w").close() or "done"),
    }
    with open("found", "w") as file:
        file.write(repr(found))
    return []
"""

_CALL = """
import json, sys, warnings
from isolated_hooks import IsolatedHookCaller, Policy, SandboxUnavailableError

warnings.simplefilter("ignore")
caller = IsolatedHookCaller("project", "backend", ["."], policy=Policy(**json.loads(sys.argv[1])))
try:
    caller.get_requires_for_build_sdist()
    wheel = caller.build_wheel("out")
except SandboxUnavailableError as error:
    print(json.dumps({"missing": error.missing, "remedy": error.remedy}))
else:
    states = {s.protection.value: s.state.value for s in caller.reports[0].protections}
    print(json.dumps({"wheel": wheel, "states": states}))
"""

_ALL = {protection.value: "active" for protection in Protection}
_WRAPPER = ("unshare", "--uts", "--net", "--map-root-user")  # as fromager runs it
_BWRAP = ("bwrap", "--dev-bind", "/", "/")
_BWRAP_USER = (*_BWRAP, "--unshare-user", "--unshare-pid", "--proc", "/proc")
_ALLOWED = {"allow_degraded": ["no-namespaces"]}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a directory with a project, and beside it a file that hooks must not see."""
    work = tmp_path / "work"
    write_project(work / "project", extra=_PROBE)
    (work / "secret").write_text("secret")
    (work / "out").mkdir()
    return work


def _nested(outer: Sequence[str], work: Path, **policy: Any) -> dict[str, Any]:
    done = run_text([*outer, sys.executable, "-c", _CALL, json.dumps(policy)], cwd=work)
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def _observed(work: Path) -> dict[str, Any]:
    observed: dict[str, Any] = eval((work / "project" / "found").read_text())
    return observed


def _sandbox(launcher: str) -> list[str]:
    """Return the command for a sandbox that shows this interpreter and this package."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(isolated_hooks.__file__)))
    paths = dict.fromkeys((package, sys.prefix, sys.base_prefix))
    shown = [word for path in paths if path != "/usr" for word in ("--expose", path)]
    return [*CLI, "run", "--launcher", launcher, *shown, "--"]


def _covered(outer: Sequence[str]) -> bool:
    """Return whether mounts cover parts of /proc there. A fresh /proc would show those, so the kernel refuses it.

    In its own /proc, bwrap covers each part that it can write to, such as /proc/irq, with a read-only bind mount. It
    does so for the kernel's root, but not for an ordinary user or for root of an ordinary user's namespace, as in
    rootless podman.
    """
    lines = run_text([*outer, "cat", "/proc/self/mountinfo"]).stdout.splitlines()
    return any(line.split()[4].startswith("/proc/") and " - proc " in line for line in lines)


def _needs(program: str) -> None:
    if not shutil.which(program):
        cannot_run(f"{program}(1) is not installed")


# Inside itself.


def test_the_outer_sandbox_shows_files_beside_the_project(work: Path, launcher: str) -> None:
    """The control: without the inner sandbox, a hook can read and write these files."""
    code = "import sys; sys.path.insert(0, 'project'); import os, backend; os.chdir('project'); "
    code += "backend.get_requires_for_build_sdist()"
    done = run_text([*_sandbox(launcher), sys.executable, "-c", code], cwd=work)
    assert done.returncode == 0, done.stderr
    assert (_observed(work)["secret"], _observed(work)["write"], _observed(work)["filters"]) == ("secret", "done", 2)


def test_inside_itself_the_sandbox_is_refused_with_a_remedy(work: Path, launcher: str) -> None:
    outcome = _nested(_sandbox(launcher), work)
    assert "unshare" in outcome["missing"][0]
    assert "--allow-degraded no-namespaces" in outcome["remedy"]
    assert not (work / "project" / "found").exists()


def test_inside_itself_bubblewrap_is_refused_even_if_everything_may_be_weaker(work: Path, bubblewrap: None) -> None:
    outcome = _nested(_sandbox("native"), work, launcher="bubblewrap", allow_degraded=[p.value for p in Protection])
    assert "the launcher bubblewrap" in outcome["missing"][0]
    assert "use the launcher native" in outcome["remedy"]
    assert not (work / "project" / "found").exists()


def test_inside_itself_landlock_and_seccomp_still_protect(work: Path, launcher: str) -> None:
    outcome = _nested(_sandbox(launcher), work, **_ALLOWED)
    assert outcome["wheel"].endswith(".whl")
    assert (work / "out" / outcome["wheel"]).is_file()
    # The keyring is weaker because the outer filter refuses keyctl(2).
    weaker = ("filesystem", "temporary", "processes", "hostname", "identity", "keyring")
    assert outcome["states"] == {**_ALL, **dict.fromkeys(weaker, "degraded")}
    observed = _observed(work)
    assert (observed["secret"], observed["write"], observed["home"]) == ("PermissionError", "PermissionError", "done")
    assert observed["settings"] is False
    assert observed["filters"] == 3  # the two of the outer sandbox and the one of the inner sandbox add up
    assert not (work / "written").exists()


# Inside others.


@pytest.mark.slow
@pytest.mark.parametrize("outer", [_BWRAP, _BWRAP_USER, _WRAPPER], ids=["bwrap", "bwrap-user", "unshare"])
def test_inside_others_every_protection_is_active_unless_reported(
    work: Path, outer: tuple[str, ...], launcher: str
) -> None:
    """The reported identity is true too: only the kernel's root sees itself as the owner of the kernel's settings."""
    _needs(outer[0])
    root = os.geteuid() == 0
    if not root and run_text([*outer, "true"]).returncode != 0:
        cannot_run(f"{outer[0]} does not work here")
    outcome = _nested(outer, work, launcher=launcher)
    covered = _covered(outer)
    if covered and launcher == "bubblewrap":
        assert "proc" in outcome["missing"][0]
        assert outcome["remedy"].startswith("use the launcher native")
        return
    expected = dict(_ALL)
    if is_kernel_root() and outer != _BWRAP:
        expected["identity"] = "degraded"
    if covered:
        expected["processes"] = "degraded"
    assert outcome["states"] == expected
    observed = _observed(work)
    assert observed["kernel-root"] is (expected["identity"] == "degraded")
    assert observed["settings"] is False
    assert observed["capabilities"] == "0" * 16
    assert (observed["secret"], observed["home"]) == ("FileNotFoundError", "done")
    assert not (work / "written").exists()
    assert (work / "out" / outcome["wheel"]).stat().st_uid == os.geteuid()


@pytest.mark.slow
@pytest.mark.parametrize("require", [[], ["identity"]])
def test_root_of_a_user_namespace_is_the_kernels_root_only_if_that_root_created_it(
    work: Path, launcher: str, require: list[str]
) -> None:
    """A policy that requires an identity accepts an ordinary user's namespace and refuses root's own."""
    _needs("unshare")
    outcome = _nested(_WRAPPER, work, launcher=launcher, require=require)
    if os.geteuid() != 0 or not require:
        assert outcome["wheel"].endswith(".whl")
    else:
        assert "identity is degraded" in outcome["missing"][0]
        assert outcome["remedy"]
        assert not (work / "project" / "found").exists()


def test_the_kernels_root_under_another_uid_is_not_taken_for_an_ordinary_user(work: Path, launcher: str) -> None:
    """Uid 1000 of this user namespace is root outside."""
    _needs("unshare")
    if os.geteuid() != 0:
        pytest.skip("only root can be root under another uid")
    outer = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    outcome = _nested(outer, work, launcher=launcher)
    assert outcome["states"] == {**_ALL, "identity": "degraded"}
    assert _observed(work)["kernel-root"] is True
    assert "identity is degraded" in _nested(outer, work, launcher=launcher, require=["identity"])["missing"][0]
