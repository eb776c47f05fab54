"""Many calls, one after the other and at once, leave nothing behind: by the code of benchmarks/soak.py.

``ISOLATED_HOOKS_SOAK=1000`` is the number of calls in a row; 25 is the default.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
from support.attacks.place import Place, traces
from support.projects import cannot_run
from support.repository import ROOT

from isolated_hooks import Policy
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

_SCRIPT = ROOT / "benchmarks" / "soak.py"
_IN_A_ROW = int(os.environ.get("ISOLATED_HOOKS_SOAK", "25"))
_AT_ONCE = 32 if _IN_A_ROW > 100 else 16


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    """The script, as a module."""
    if not _SCRIPT.exists():
        cannot_run("benchmarks/ is not here: these tests run from a checkout")
    spec = importlib.util.spec_from_file_location("soak", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _assert_nothing_is_left(soak: ModuleType, place: Place, count: int, at_once: int) -> None:
    """Check for processes, threads, mounts, namespaces, files, descriptors, cgroups and locks of uids; and memory."""
    source = soak.make_source(place.base / "source")
    policy = Policy(limits={"memory": 2**30})  # so that there is a cgroup where there can be one
    soak.soak(at_once, at_once, source, policy)  # what is kept for later calls is kept by now
    before, counts = traces(place.tmp), soak.used(place.tmp)
    soak.soak(count, at_once, source, policy)
    after, counts_after = traces(place.tmp), soak.used(place.tmp)
    assert after.processes == frozenset()
    assert after.files == before.files
    assert soak.differences(counts, counts_after) == {}
    assert counts_after["resident KiB"] - counts["resident KiB"] < 8 * 1024
    # A namespace goes with the last process in it, a moment after that.
    assert until(lambda: not traces(place.tmp).new_since(before)), traces(place.tmp).new_since(before)


def test_calls_in_a_row_leave_nothing(soak: ModuleType, place: Place) -> None:
    _assert_nothing_is_left(soak, place, _IN_A_ROW, 1)


@pytest.mark.slow
def test_calls_at_once_leave_nothing(soak: ModuleType, place: Place) -> None:
    """The same, from threads of one frontend."""
    _assert_nothing_is_left(soak, place, 2 * _AT_ONCE, _AT_ONCE)


def test_a_daemon_would_be_seen(place: Place) -> None:
    """The control: what the two above look for is found where it is, while a hook runs."""
    place.call({})
    before = traces(place.tmp)
    release = place.tree / "release"
    arguments = {"name": "ih-seen", "started": "started", "release": str(release)}
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(place.call, {"wait": {"probe": "wait", "arguments": arguments}})
        try:
            assert until((place.tree / "started").exists)
            new = traces(place.tmp).new_since(before)
        finally:
            release.touch()
            call.result(60)
    assert {"processes", "mount_namespaces", "files", "descriptors"} <= new.keys()
    assert ("locks" in new) == (os.geteuid() == 0), "only the hook of root has a throw-away uid"


def test_what_the_script_counts_would_be_seen(soak: ModuleType, place: Place) -> None:
    before = soak.used(place.tmp)
    held = open(place.tmp / "file", "w")  # noqa: SIM115
    command = [sys.executable, "-c", "print(flush=True); input()", str(place.tmp)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # exec(2) closes descriptors before it shows the command line
        after = soak.used(place.tmp)
    held.close()
    assert set(soak.differences(before, after)) == {"children", "descriptors", "files", "processes"}
