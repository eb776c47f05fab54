"""Hosts that are older or offer less than this one, imitated by seccomp filters around a process.

We refuse them, or report truthfully what they offer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.lanes import first_fast
from support.projects import CLI, FEW_FILES, cannot_run, clean_environ, facts, run_text, write_project
from support.repository import NARROW

import isolated_hooks

pytestmark = pytest.mark.usefixtures("sandbox")

_CALL = """\
import json, sys, warnings
from isolated_hooks import *
warnings.simplefilter("ignore")
hooks = IsolatedHookCaller(sys.argv[1], "backend", ["."], policy=Policy(allow_degraded=sys.argv[2:]))
try:
    hooks.get_requires_for_build_sdist()
except (SandboxUnavailableError, SandboxSetupError) as error:
    said = {name: getattr(error, name, "") for name in ("missing", "remedy", "syscall", "errno")}
    print(json.dumps({"error": type(error).__name__, **said}))
else:
    states = {s.protection.value: s.state.value for s in hooks.reports[-1].protections}
    print(json.dumps({"states": states}))
"""


def call(
    tmp_path: Path,
    *what: str,
    allowed: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    outer: tuple[str, ...] = (),
    extra: str = "",
) -> dict[str, Any]:
    """Call a hook on a restricted host, and return the states of the protections or the error.

    :param what: the restrictions, as ``narrow.py`` takes them
    :param allowed: values of ``allow_degraded``
    :param without: capabilities that root lacks there
    :param outer: a command that runs the rest of its command line
    :param extra: code for the project's backend
    """
    project = write_project(tmp_path / "project", extra=extra)
    argv = list(outer)
    if without:
        names = ",".join(f"-{name}" for name in without)
        argv += ["setpriv", f"--bounding-set={names}", f"--inh-caps={names}"]
    argv += [sys.executable, os.fspath(NARROW), *what, "--", sys.executable, "-c", _CALL, os.fspath(project), *allowed]
    environ = clean_environ(TMPDIR=os.fspath(tmp_path), **FEW_FILES)
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    assert len(facts(project)) == (1 if "states" in outcome else 0)
    return outcome


NO_NAMESPACES = "no-namespaces"


@pytest.mark.parametrize(
    "what",
    first_fast(
        [
            *("unshare=EPERM", "unshare=ENOSYS", "mount=EACCES", "mount=EPERM"),
            *("move_mount=EPERM", "move_mount=EACCES", "umount2=EPERM", "umount2=ENOSYS"),
            # If the call is missing, the C library emulates it, but cannot tell on which mount a file is.
            *("statx=EPERM", "statx=ENOSYS"),
        ]
    ),
)
def test_refused_by_default_and_run_with_one_word(what: str, tmp_path: Path) -> None:
    """EPERM as in docker, ENOSYS as in CRI-O; mount calls refused as by AppArmor."""
    refused = call(tmp_path / "1", what)
    assert refused["error"] == "SandboxUnavailableError"
    assert what.partition("=")[0] in refused["missing"][0]
    assert "--allow-degraded no-namespaces" in refused["remedy"]
    states = call(tmp_path / "2", what, allowed=(NO_NAMESPACES,))["states"]
    degraded = {"filesystem", "temporary", "processes", "hostname"}
    degraded |= {"privileges"} if os.geteuid() == 0 else {"identity"}
    assert {name for name, state in states.items() if state == "degraded"} == degraded
    assert set(states.values()) == {"active", "degraded"}


@pytest.mark.parametrize(
    "what",
    first_fast(["move_mount=ENOSPC", "unshare=ENOSPC", "open_tree=ENOMEM", "mount=EMFILE", "open_tree=ENAMETOOLONG"]),
)
@pytest.mark.parametrize("allowed", [(), (NO_NAMESPACES,)], ids=["default", "no-namespaces"])
def test_an_error_that_load_can_cause_is_an_error(what: str, allowed: tuple[str, ...], tmp_path: Path) -> None:
    """A hook can cause it too, and must not choose what the next hook runs under."""
    refused = call(tmp_path, what, allowed=allowed)
    assert refused["error"] == "SandboxSetupError"
    assert refused["syscall"] == what.partition("=")[0]


@pytest.mark.slow
def test_without_mount_setattr(tmp_path: Path) -> None:
    refused = call(tmp_path / "1", "mount_setattr=ENOSYS")
    assert refused["error"] == "SandboxUnavailableError"
    assert "mount_setattr" in " ".join(refused["missing"])


@pytest.mark.parametrize("landlock", first_fast(["landlock_create_ruleset=ENOSYS", "landlock-abi=1"]))
def test_nothing_runs_if_landlock_cannot_confine_a_build(landlock: str, tmp_path: Path) -> None:
    """Under ABI 1 no file can be renamed into another directory, which setuptools does."""
    refused = call(tmp_path, landlock, "unshare=EPERM", allowed=(NO_NAMESPACES,))
    assert refused["error"] == "SandboxUnavailableError"
    assert "landlock_create_ruleset" in refused["missing"][0]
    assert "lsm=" in refused["remedy"]


@pytest.mark.slow
@pytest.mark.parametrize("abi", first_fast([2, 3, 4, 5]))
def test_an_older_landlock_confines_what_it_can(abi: int, tmp_path: Path) -> None:
    states = call(tmp_path, f"landlock-abi={abi}", "unshare=EPERM", allowed=(NO_NAMESPACES,))["states"]
    assert states["network"] == states["ipc"] == "active"
    assert states["processes"] == states["filesystem"] == "degraded"


def test_with_namespaces_landlock_is_not_needed(tmp_path: Path) -> None:
    states = call(tmp_path, "landlock_create_ruleset=ENOSYS")["states"]
    assert set(states.values()) == {"active"}


@pytest.mark.parametrize(("what", "name"), [("sethostname=EPERM", "hostname"), ("keyctl=EPERM", "keyring")])
def test_the_default_policy_allows_what_a_host_cannot_give(what: str, name: str, tmp_path: Path) -> None:
    states = call(tmp_path, what)["states"]
    assert {key for key, state in states.items() if state == "degraded"} == {name}


@pytest.mark.parametrize("error", first_fast(["EPERM", "EACCES", "ENOSYS"]))
def test_without_pivot_root_the_new_root_is_moved(error: str, tmp_path: Path) -> None:
    """In docker with SYS_ADMIN, the seccomp profile refuses the call with EPERM, and AppArmor with EACCES."""
    assert set(call(tmp_path, f"pivot_root={error}")["states"].values()) == {"active"}


_OLD_PROC = """\
import os, sys
sys.path.insert(0, sys.argv[1])
from sandbox import mounts, namespaces, operations, root
uid, gid, listdir = os.geteuid(), os.getegid(), os.listdir
operations.os.listdir = lambda path: [*listdir(path), b"0"]
namespaces.enter(network=True, uid_map=b"1000 %d 1" % uid, gid_map=b"1000 %d 1" % gid, by_parent=False)
mounts.mount_root(b"/usr", on_disk=False)
new = root.Root(b"/usr", trees={}, uid=1000, gid=1000, mapped=True, degradations=None)
operations.from_wire("Proc", {"target": b"/proc"})._show_old(new)
others = f"/usr/proc/{os.getppid()}/status"
print(*map(os.path.exists, ("/usr/proc/version", "/usr/proc/self/status", others)))
"""


def test_a_process_may_end_while_the_old_proc_is_being_covered() -> None:
    """For example in a container with --pid host. Pid 0 stands for a process that has just ended."""
    package = os.path.dirname(isolated_hooks.__file__)
    done = subprocess.run([sys.executable, "-c", _OLD_PROC, package], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["True", "True", "False"], "")


@pytest.mark.parametrize("what", first_fast(["close_range=EPERM", "close_range=ENOSYS", "prlimit64=EPERM"]))
@pytest.mark.parametrize("allowed", [(), (NO_NAMESPACES,)], ids=["default", "allowed"])
def test_a_host_without_calls_that_every_tier_needs_is_refused_before_anything_runs(
    what: str, allowed: tuple[str, ...], tmp_path: Path
) -> None:
    """The trial, as the doctor does, notices the missing call, and no hook runs."""
    refused = call(tmp_path, what, allowed=allowed)
    assert refused["error"] == "SandboxUnavailableError"
    assert refused["missing"][0].startswith("descriptors" if "close_range" in what else "limits")
    assert refused["remedy"]


@pytest.mark.slow
def test_root_keeps_its_uid_if_setresuid_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another uid")
    states = call(tmp_path / "1", "setresuid=EPERM")["states"]
    assert {key for key, state in states.items() if state == "degraded"} == {"identity"}
    states = call(tmp_path / "2", "setresuid=EPERM", "unshare=EPERM", allowed=(NO_NAMESPACES,))["states"]
    assert (states["identity"], states["privileges"]) == ("degraded", "active")


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["chown", "dac_override"])
def test_root_keeps_its_uid_if_it_could_not_take_new_files_back(capability: str, tmp_path: Path) -> None:
    """For example in podman with --cap-drop CHOWN: new files would keep the throw-away uid as their owner."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another uid")
    # Without sys_admin there are no idmapped mounts, as is usual in containers.
    states = call(tmp_path / "1", without=("sys_admin",))["states"]
    assert set(states.values()) == {"active"}
    states = call(tmp_path / "2", without=("sys_admin", capability))["states"]
    assert {key for key, state in states.items() if state == "degraded"} == {"identity"}
    files = (tmp_path / "2/project").rglob("*")
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in files} == {(0, 0)}


@pytest.mark.slow
@pytest.mark.parametrize("capability", first_fast(["chown", "dac_override", "setpcap", "kill"]))
def test_root_without_namespaces_keeps_its_uid_if_it_lacks_a_capability(capability: str, tmp_path: Path) -> None:
    """For example in docker with --cap-drop DAC_OVERRIDE."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another uid")
    states = call(tmp_path, "unshare=EPERM", allowed=(NO_NAMESPACES,), without=(capability,))["states"]
    assert (states["identity"], states["privileges"]) == ("degraded", "active")
    files = (tmp_path / "project").rglob("*")
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in files} == {(0, 0)}


# Hosts that differ in more than the calls they refuse. Anybody can imitate them, because the caller becomes root of a
# user namespace. Only one id is mapped there.

_NO_SIGCHLD = (
    "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])"
)
_LEAVING = """
get_requires = get_requires_for_build_sdist

def get_requires_for_build_sdist(config_settings=None):
    for _ in range(3):
        subprocess.Popen(["sleep", "1000"])
    return get_requires(config_settings)
"""


def _root(*command: str) -> tuple[str, ...]:
    """Return a command that runs another one as root of a user namespace. Skip the test on hosts that refuse that."""
    outer = ("unshare", "--map-root-user", *command)
    if run_text([*outer, "true"]).returncode != 0:
        cannot_run("unshare(1) does not work here")
    return outer


@pytest.mark.parametrize("how", ["nothing", "of-others"])
def test_the_error_explains_a_proc_without_this_process(how: str, tmp_path: Path) -> None:
    over = {"nothing": "-t tmpfs none", "of-others": "--bind /proc/self/fdinfo"}[how]
    outer = _root("--mount", "sh", "-c", f'mount {over} /proc && exec "$@"', "sh")
    refused = call(tmp_path, outer=outer)
    assert refused["error"] == "SandboxUnavailableError"
    assert "/proc" in refused["missing"][0]
    assert "mount -t proc proc /proc" in refused["remedy"]


@pytest.mark.slow
def test_a_host_with_a_read_only_proc_has_no_user_namespaces(tmp_path: Path) -> None:
    """As in bwrap --ro-bind / / without --proc, where nobody can write an id map. The error's remedy works."""
    if run_text(["bwrap", "--version"]).returncode != 0:
        cannot_run("bwrap(1) is not installed")
    outer = ("bwrap", "--dev-bind", "/", "/", "--ro-bind", "/proc", "/proc")
    refused = call(tmp_path / "1", outer=outer)
    assert "write fails with Read-only file system" in refused["missing"][0]
    assert "bwrap --proc /proc" in refused["remedy"]
    states = call(tmp_path / "2", outer=outer, allowed=(NO_NAMESPACES,))["states"]
    assert states["filesystem"] == "degraded"
    states = call(tmp_path / "3", outer=(*outer[:4], "--unshare-user", "--proc", "/proc"))["states"]
    assert states["filesystem"] == "active"


@pytest.mark.parametrize("what", [(), ("unshare=EPERM",)], ids=["namespaces", "no-namespaces"])
@pytest.mark.slow
def test_proc_may_belong_to_a_pid_namespace_above(what: tuple[str, ...], tmp_path: Path) -> None:
    """As in unshare --pid --fork, or in a sandbox with the old /proc. We still end a hook's remaining processes."""
    outer = _root("--pid", "--fork")
    states = call(tmp_path / "1", *what, outer=outer, allowed=(NO_NAMESPACES,), extra=_LEAVING)["states"]
    assert states["filesystem"] == ("degraded" if what else "active")
    # Writing the id map of a throw-away uid also needs the pids that /proc uses.
    if os.geteuid() == 0:
        without = () if what else ("sys_admin",)
        outer = ("unshare", "--pid", "--fork")
        states = call(tmp_path / "2", *what, outer=outer, allowed=(NO_NAMESPACES,), without=without)["states"]
        assert states["identity"] == "active"


@pytest.mark.slow
def test_limits_are_watched_if_proc_belongs_to_a_pid_namespace_above(tmp_path: Path) -> None:
    """No kernel adds up the processor time of all processes, so the watcher has to find the processes."""
    (tmp_path / "tree").mkdir()
    spin = "for n in 1 2 3; do (while :; do :; done) & done; wait"
    argv = [*CLI, "run", "--allow-degraded", NO_NAMESPACES, "--limit", "cpu-time=1", "--", "sh", "-c", spin]
    outer = [*_root("--pid", "--fork"), sys.executable, os.fspath(NARROW), "unshare=EPERM", "--"]
    done = run_text([*outer, *argv], cwd=tmp_path / "tree")
    assert done.returncode == 124, done.stderr


@pytest.mark.parametrize("what", [(), ("unshare=EPERM",)], ids=["namespaces", "no-namespaces"])
@pytest.mark.slow
def test_a_frontend_may_ignore_sigchld(what: tuple[str, ...], tmp_path: Path) -> None:
    """Children inherit ignored signals, and ignoring SIGCHLD hides how a child ended. We report it all the same."""
    outer = (sys.executable, "-c", _NO_SIGCHLD)
    states = call(tmp_path, *what, outer=outer, allowed=(NO_NAMESPACES,), extra=_LEAVING)["states"]
    assert states["filesystem"] == ("degraded" if what else "active")
    done = run_text([*outer, *CLI, "run", "--", "sh", "-c", "exit 3"], cwd=tmp_path / "project")
    assert done.returncode == 3, done.stderr
    assert json.loads(run_text([*outer, *CLI, "doctor", "--json"]).stdout)["runs"] is True


def test_without_internet_sockets_hooks_need_no_loopback(tmp_path: Path) -> None:
    """As with systemd's RestrictAddressFamilies=AF_UNIX, whose filter applies to the hook too."""
    assert set(call(tmp_path, "socket:2=EAFNOSUPPORT")["states"].values()) == {"active"}


@pytest.mark.slow
def test_without_proc_sys(tmp_path: Path) -> None:
    """As with systemd's ProcSubset=pid, or in a container that masks it. A fresh /proc would show the hidden files."""
    outer = _root("--mount", "sh", "-c", 'mount -t tmpfs none /proc/sys && exec "$@"', "sh")
    states = call(tmp_path, outer=outer)["states"]
    assert {name for name, state in states.items() if state == "degraded"} - {"identity"} == {"processes"}


@pytest.mark.slow
def test_an_unmapped_user_is_refused(tmp_path: Path) -> None:
    """As in unshare --user, where nobody can change owners or create another user namespace."""
    _root()
    refused = call(tmp_path / "1", outer=("unshare", "--user"))
    assert "unshare" in refused["missing"][0]
    states = call(tmp_path / "2", outer=("unshare", "--user"), allowed=(NO_NAMESPACES,))["states"]
    assert states["filesystem"] == "degraded"
