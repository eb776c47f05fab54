"""Processes are killed, disks are full, resources are used up: no process, mount or half-written artefact stays.

The output directory holds a wheel of an earlier build. Afterwards it holds either that wheel or the complete new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.attacks.place import HERE, Place, cgroups, locks, processes_naming, sandbox_mounts
from support.lanes import first_fast
from support.projects import FEW_FILES

from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

WHEEL = "hostile-1.0-py3-none-any.whl"
_EARLIER = b"the wheel of an earlier build"
_POINTS = int(os.environ.get("ISOLATED_HOOKS_KILL_POINTS", "8"))  # 50 at night


@pytest.fixture
def built(place: Place) -> Place:
    """A place whose output directory holds a wheel of an earlier build."""
    (place.out / WHEEL).write_bytes(_EARLIER)
    return place


def start(place: Place, options: dict[str, Any] | None = None, **named: Any) -> subprocess.Popen[bytes]:
    """Start a frontend that builds the wheel."""
    options = {"hook": "build_wheel", "limits": {"memory": 2**30}, **(options or {})}
    return place.frontend({}, options=options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **named)


def assert_nothing_half_done(place: Place) -> None:
    """Check the output directory from outside, and that no process or mount is left."""
    assert until(lambda: not processes_naming(place.tmp)), processes_naming(place.tmp)
    assert sandbox_mounts(Path("/proc/self"), place.tmp) == []
    names = sorted(os.listdir(place.out))
    assert [name for name in names if not name.startswith(".")] == [WHEEL]
    content = (place.out / WHEEL).read_bytes()
    if content != _EARLIER:
        with zipfile.ZipFile(place.out / WHEEL) as wheel:
            assert wheel.testzip() is None
    assert {path.lstat().st_uid for path in place.tree.rglob("*")} <= {os.geteuid()} | _throwaway(place)


def _throwaway(place: Place) -> set[int]:
    """Return the owners that files may have until the next call gives the files back."""
    return {path.lstat().st_uid for path in place.tree.rglob("*")} if any(place.tmp.iterdir()) else set()


def assert_swept(place: Place, groups: Iterable[Path] = ()) -> None:
    """Check that the next call finds and removes what the kernel did not free by itself.

    :param groups: cgroups that earlier calls had made
    """
    groups = {*groups, *cgroups(place.tmp)}
    assert start(place).wait(60) == 0
    assert [path.name for path in place.tmp.iterdir() if "isolated-hooks" in path.name] == []
    assert [path for path in groups if path.exists()] == []
    assert until(lambda: not locks(place.tmp)), locks(place.tmp)
    assert {path.lstat().st_uid for path in place.tree.rglob("*")} == {os.geteuid()}
    assert sorted(os.listdir(place.out)) == [WHEEL]


def _whole_call(place: Place) -> float:
    began = time.monotonic()
    assert start(place).wait(60) == 0
    return time.monotonic() - began


@pytest.mark.slow
def test_a_frontend_killed_at_any_moment(built: Place) -> None:
    """SIGKILL at random points of a hook's life, from before its start until after its end."""
    chosen = random.Random(0)
    whole = max(_whole_call(built) for _ in range(3))
    killed, groups = 0, set()
    for _ in range(_POINTS):
        (built.out / WHEEL).write_bytes(_EARLIER)
        frontend = start(built)
        time.sleep(chosen.uniform(0, whole))
        killed += frontend.poll() is None
        frontend.kill()
        frontend.wait(60)
        assert_nothing_half_done(built)
        groups |= cgroups(built.tmp)
    assert killed, "none was killed before it had ended"
    assert_swept(built, groups)


def _launchers(place: Place) -> list[int]:
    """Return the ids of processes of launchers for this place, and of the one they are forks of, the oldest first."""
    return [pid for pid in processes_naming(place.tmp) if b"/launcher\0" in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""  # it has ended since


@pytest.mark.slow
def test_a_launcher_killed_at_any_moment(built: Place) -> None:
    """The launcher, the process that it was forked from, the watching one or pid 1 is killed. Error or wheel."""
    chosen = random.Random(1)
    assert start(built).wait(60) == 0
    codes = []
    for _ in range(_POINTS // 2):
        (built.out / WHEEL).write_bytes(_EARLIER)
        frontend = start(built)
        # Before that, only the process that stays ready starts, and a call that loses it starts a launcher anew.
        pids = until(lambda: len(_launchers(built)) > 2 and _launchers(built), seconds=5) or []
        time.sleep(chosen.uniform(0, 0.15))
        with contextlib.suppress(ProcessLookupError, IndexError, FileNotFoundError):
            os.kill(chosen.choice(_launchers(built) or pids), signal.SIGKILL)
        codes.append(frontend.wait(60))
        assert_nothing_half_done(built)
        if codes[-1]:
            assert (built.out / WHEEL).read_bytes() == _EARLIER
    assert set(codes) <= {0, 1}
    assert 1 in codes
    assert_swept(built)


@pytest.mark.parametrize("again", first_fast([1, 3]))
def test_an_interrupt_of_the_whole_process_group(built: Place, again: int) -> None:
    """As a terminal sends it at Ctrl-C, once or several times."""
    attacks = {"it": {"probe": "wait", "arguments": {"name": "ih-ctrl-c", "started": "started", "release": "never"}}}
    options = {"hook": "build_wheel"}
    frontend = built.frontend(attacks, options=options, start_new_session=True, stderr=subprocess.DEVNULL)
    assert until((built.tree / "started").exists)
    for _ in range(again):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(frontend.pid, signal.SIGINT)
        time.sleep(0.05)
    assert frontend.wait(60) != 0
    assert_nothing_half_done(built)
    assert (built.out / WHEEL).read_bytes() == _EARLIER
    assert_swept(built)


def _shell(place: Place, script: str, **description: Any) -> subprocess.CompletedProcess[str]:
    """Run a script in its own user and mount namespaces; its arguments are the frontend's command."""
    described = {
        "tree": str(place.tree),
        "python": str(place.python),
        "hook": "build_wheel",
        "out": str(place.out),
        "attacks": {},
        **description,
    }
    functions = "set -e; out=$1; tmp=$2; shift 2; "
    options = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    frontend = [sys.executable, "-B", str(HERE / "frontend.py"), json.dumps(described)]
    command = ["unshare", *options, "sh", "-c", functions + script, "sh", str(place.out), str(place.tmp), *frontend]
    environ = {**os.environ, **FEW_FILES, "TMPDIR": str(place.tmp)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)


def _room(size: str) -> str:
    return f'mount -t tmpfs -o size={size} none "$out"; echo earlier > "$out/{WHEEL}"; '


@pytest.mark.slow
def test_a_full_output_directory(place: Place) -> None:
    """The new wheel does not fit: the earlier one stays unchanged, and no part of the new one is left."""
    fill = 'head -c 100M /dev/zero > "$out/filler" 2>/dev/null || true; '
    check = f'"$@" || echo "code $?"; ls -A "$out"; head -c 7 "$out/{WHEEL}"'
    done = _shell(place, _room("64k") + fill + check)
    assert done.stdout.split() == ["code", "1", "filler", WHEEL, "earlier"], done.stderr
    assert "No space left on device" in done.stderr
    control = _shell(place, _room("64m") + check)
    assert control.returncode == 0, control.stderr
    assert control.stdout.startswith(f"{WHEEL}\nPK")


def test_a_full_directory_for_workspaces(place: Place) -> None:
    """No workspace fits: the call raises an error that says so, runs no hook and leaves nothing."""
    fill = 'mount -t tmpfs -o size=64k,nr_inodes=4 none "$tmp"; touch "$tmp/1" "$tmp/2"; '
    attacks = {"it": {"probe": "fill_disk", "arguments": {"where": "ran", "size": 2**20}}}
    done = _shell(place, fill + '"$@" || echo "code $?"; ls -A "$tmp"', attacks=attacks)
    assert done.stdout.split() == ["code", "1", "1", "2"], done.stderr
    assert "No space left on device" in done.stderr
    assert not (place.tree / "ran").exists()


@pytest.mark.slow
def test_no_more_user_namespaces(place: Place) -> None:
    """In a user namespace that may have no children, the call is refused, and the error has the remedy."""
    limit = "echo 0 > /proc/sys/user/max_user_namespaces; "
    unshare = "unshare --user --map-root-user sh -c "
    inner = f"'{limit}exec \"$@\"' sh "
    done = _shell(place, f'{unshare}{inner} "$@" || echo "code $?"; ls -A "$out"; ls -A "$tmp"')
    assert done.stdout.split() == ["code", "1"], done.stderr
    assert "SandboxUnavailableError" in done.stderr
    assert "max_user_namespaces" in done.stderr
    assert int(Path("/proc/sys/user/max_user_namespaces").read_text()) > 0
    control = _shell(place, f'{unshare}{inner.replace(limit, "")} "$@"; ls -A "$out"')
    assert control.stdout.split() == [WHEEL], control.stderr


def test_no_more_processes(place: Place) -> None:
    """With RLIMIT_NPROC too low, the call raises an error that says so. With enough room, it works."""
    description = {
        "tree": str(place.tree),
        "python": str(place.python),
        "hook": "build_wheel",
        "out": str(place.out),
        "attacks": {},
    }
    code = (
        "import os, resource, sys, runpy\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (int(sys.argv[1]),) * 2)\n"
        "sys.path.insert(0, os.path.dirname(sys.argv[2])); sys.argv = sys.argv[2:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    if os.geteuid() == 0:
        pytest.skip("RLIMIT_NPROC does not bind root")
    (place.out / WHEEL).write_bytes(_EARLIER)
    seen = set()
    for room in range(1, 12):
        options = ["unshare", "--user", "--map-current-user", sys.executable, "-B", "-c", code, str(room)]
        command = [*options, str(HERE / "frontend.py"), json.dumps(description)]
        environ = {**os.environ, "TMPDIR": str(place.tmp)}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
        seen.add(done.returncode)
        assert_nothing_half_done(place)
        assert [path.name for path in place.tmp.iterdir()] == []
        assert done.returncode == 0 or "Resource temporarily unavailable" in done.stderr, done.stderr
        if done.returncode:
            assert (place.out / WHEEL).read_bytes() == _EARLIER
    assert seen == {0, 1}


def test_a_cgroup_of_a_killed_frontend_is_removed(built: Place) -> None:
    """The next call removes it with its workspace."""
    attacks = {"it": {"probe": "wait", "arguments": {"name": "ih-cgroup", "started": "started", "release": "never"}}}
    frontend = built.frontend(attacks, options={"hook": "build_wheel", "limits": {"memory": 2**30}})
    try:
        assert until((built.tree / "started").exists)
        found = cgroups(built.tmp)
        if not found:
            pytest.skip("this host gives no memory cgroup")
    finally:
        frontend.kill()
        frontend.wait(60)
    assert until(lambda: not processes_naming(built.tmp))
    assert cgroups(built.tmp) in (found, set())  # a call of another test may have swept it
    assert_swept(built)


def test_the_checks_detect_a_half_written_wheel(built: Place) -> None:
    """The control for the checks above."""
    assert start(built).wait(60) == 0
    data = (built.out / WHEEL).read_bytes()
    assert hashlib.sha256(data).digest() != hashlib.sha256(_EARLIER).digest()
    (built.out / WHEEL).write_bytes(data[: len(data) // 2])
    with pytest.raises((AssertionError, zipfile.BadZipFile)):
        assert_nothing_half_done(built)
    (built.out / "other.whl").write_bytes(data)
    with pytest.raises(AssertionError):
        assert_nothing_half_done(built)
