"""Shared resources (J01-J14): the sandbox stops a hook that takes as much as it can; nothing stops it without.

Each attack has bounds, so the control, which runs without the sandbox, does no harm.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.attacks.place import HERE, Place, processes_naming, traces
from support.lanes import first_fast

from isolated_hooks import HookKilledError, HookTimeoutError, Policy, Protection
from isolated_hooks.files.trees import remove_tree
from isolated_hooks.plan import Identity
from isolated_hooks.run import trial
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

_MIB = 1024**2
_NAMESPACES = frozenset((Identity.USER, Identity.SINGLE, Identity.RANGE, Identity.MIRROR, Identity.SHARED))
_REFUSED = {
    "namespaces": None,
    "shared": frozenset((Identity.SINGLE, Identity.RANGE, Identity.MIRROR)),
    "no-namespaces": _NAMESPACES,
    "confined": _NAMESPACES | {Identity.SEPARATE},
}


# The fast lane tries what every host should give.
@pytest.fixture(params=["namespaces", *(pytest.param(t, marks=pytest.mark.slow) for t in list(_REFUSED)[1:])])
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the host refuse the identities that come before those of this tier."""
    refused = _REFUSED[request.param]
    if request.param in ("shared", "confined") and os.geteuid() != 0:
        pytest.skip("only root has this tier")
    if refused is not None:
        monkeypatch.setattr(trial, "refused_identities", lambda *_: refused)
        unshare = {"syscall": "unshare", "errno": 1, "stage": "identity"}
        monkeypatch.setattr(
            trial, "_tried", {(Identity.USER, (), False, "native"): unshare} if "shared" not in request.param else {}
        )
    return str(request.param)


def attack(place: Place, probe: str, *, limits: dict[str, Any] | None = None, **arguments: Any) -> Any:
    """Carry out one attack, without the sandbox if there are no limits, and return its evidence."""
    attacks = {"it": {"probe": probe, "arguments": arguments}}
    if limits is None:
        return place.call(attacks, sandboxed=False)["it"]
    policy = Policy(limits=limits, allow_degraded=frozenset(Protection))
    evidence = place.call(attacks, policy=policy)["it"]
    assert not isinstance(evidence, dict) or "crashed" not in evidence, evidence
    return evidence


def ended(place: Place, probe: str, *, limits: dict[str, Any], **arguments: Any) -> tuple[str, float]:
    """Carry out one attack that a limit ends, check that it leaves nothing, and return the limit and its value."""
    before = traces(place.tmp)
    with pytest.raises((HookKilledError, HookTimeoutError)) as caught:
        attack(place, probe, limits=limits, **arguments)
    assert processes_naming(place.tmp) == []
    assert traces(place.tmp).files == before.files
    error = caught.value
    return error.limit, error.seconds if isinstance(error, HookTimeoutError) else error.value


def _kernel_counts(tier: str) -> bool:
    """Return whether RLIMIT_NPROC applies: it binds any uid except root's.

    Without namespaces, the limit counts an ordinary user's other processes too, so it is raised by their number. Only
    if some of them end meanwhile does the watching process find too many processes of the hook.
    """
    return tier in ("namespaces", "no-namespaces")


# Where the limit counts this user's other processes, it holds exactly only if none of them ends meanwhile.
_ALONE = [pytest.param(tier, marks=pytest.mark.host_global if tier == "no-namespaces" else ()) for tier in _REFUSED]
_FIRST_FAST = [_ALONE[0], *(pytest.param(*p.values, marks=(*p.marks, pytest.mark.slow)) for p in _ALONE[1:])]


@pytest.mark.parametrize("tier", _FIRST_FAST, indirect=True)
def test_j01_processes(place: Place, tier: str) -> None:
    assert attack(place, "fork_many", most=300) == {"count": 300, "refused": ""}
    limits = {"processes": 100}
    if _kernel_counts(tier):
        evidence = attack(place, "fork_many", limits=limits, most=300)
        assert evidence["refused"] == "EAGAIN"
        assert evidence["count"] < 100
    else:
        # RLIMIT_NPROC does not bind root; the watching process enforces the limit.
        assert ended(place, "fork_many", limits=limits, most=300) == ("processes", 100)


@pytest.mark.slow
@pytest.mark.parametrize("tier", _ALONE, indirect=True)
def test_j01_a_fork_bomb_ends_with_its_time(place: Place, tier: str) -> None:
    limits = {"processes": 200, "wall_time": 2 if _kernel_counts(tier) else 60}
    limit, _ = ended(place, "bomb", limits=limits, seconds=60)
    assert limit == ("wall_time" if _kernel_counts(tier) else "processes")


def test_j02_memory(place: Place, tier: str) -> None:
    assert attack(place, "fill_memory", size=300 * _MIB) == "done"
    limits = {"memory": 150 * _MIB}
    if trial.facts()["memory cgroup"][0]:
        assert ended(place, "fill_memory", limits=limits, size=300 * _MIB) == ("memory", 150 * _MIB)
    else:
        assert attack(place, "fill_memory", limits=limits, size=300 * _MIB) == "MemoryError"


def test_j03_temporary_files(place: Place, tier: str, tmp_path: Path) -> None:
    evidence = attack(place, "fill_disk", where=str(tmp_path / "filled"), size=20 * _MIB)
    assert evidence == {"refused": "", "number": 20}
    limits, arguments = {"temp_size": 10 * _MIB}, {"where": "${TMPDIR}/x", "size": 20 * _MIB, "pause": 0.1}
    if tier in ("no-namespaces", "confined"):
        assert ended(place, "fill_disk", limits=limits, **arguments) == ("temp_size", 10 * _MIB)
    else:
        evidence = attack(place, "fill_disk", limits=limits, **arguments)
        assert evidence["refused"] == "ENOSPC"
        assert evidence["number"] <= 10


def _on_a_small_disk(place: Place, script: str, description: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run a frontend in its own mount namespace, with its source tree alone on a file system of 64 MiB."""
    disk = place.base / "disk"
    disk.mkdir(exist_ok=True)
    full_description = {
        "tree": str(disk / "tree"),
        "python": str(place.python),
        "hook": "get_requires_for_build_wheel",
        "out": str(place.out),
        **description,
    }
    shell = f'mount -t tmpfs -o size=64m none "$1" && cp -r "$2" "$1/tree" && {script}'
    options = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    frontend = [sys.executable, "-B", str(HERE / "frontend.py"), json.dumps(full_description)]
    command = ["unshare", *options, "sh", "-c", shell, "sh", str(disk), str(place.tree), *frontend]
    environ = {**os.environ, "TMPDIR": str(place.tmp)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("sandboxed", [False, True])
def test_j03_free_space(place: Place, sandboxed: bool) -> None:
    """The hook can write to the disk of the source tree, but it is ended before that disk is full."""
    arguments = {"where": "filled", "size": 100 * _MIB, "pause": 0.01 if not sandboxed else 0.05}
    description = {"sandboxed": sandboxed, "attacks": {"it": {"probe": "fill_disk", "arguments": arguments}}}
    script = 'disk=$1; shift 2; "$@"; echo "code $?"; df --output=avail -k "$disk" | tail -n 1'
    done = _on_a_small_disk(place, script, description)
    code, free = done.stdout.splitlines()[-2:]
    if sandboxed:
        assert code == "code 1", done.stderr
        assert "free_space" in done.stderr
        assert int(free) > 1024
    else:
        assert code == "code 0", done.stderr
        assert int(free) == 0


def test_j04_output_without_end(place: Place, tier: str) -> None:
    assert attack(place, "say_much", size=20 * _MIB) == "done"
    assert ended(place, "say_much", limits={"log_size": _MIB}, size=20 * _MIB) == ("log_size", _MIB)


@pytest.mark.slow
@pytest.mark.parametrize("limit", first_fast(["wall_time", "idle_time"]))
def test_j05_silence(place: Place, tier: str, limit: str) -> None:
    assert attack(place, "be_silent", seconds=2) == "done"
    assert ended(place, "be_silent", limits={limit: 1}, seconds=600) == (limit, 1)


@pytest.mark.slow
def test_j06_processor_time(place: Place, tier: str) -> None:
    assert attack(place, "compute", seconds=0.5, processes=6) == "done"
    assert ended(place, "compute", limits={"cpu_time": 1}, seconds=0.9, processes=8) == ("cpu_time", 1)


def test_j07_descriptors(place: Place, tier: str) -> None:
    assert attack(place, "hold_descriptors", most=500) == 500
    assert attack(place, "hold_descriptors", limits={"open_files": 100}, most=500) < 100


def test_j07_terminals(place: Place) -> None:
    """The sandbox's own /dev/pts has a limit. On the host, all programs share one number of terminals."""
    assert attack(place, "hold_terminals", most=300) == 300
    assert attack(place, "hold_terminals", limits={}, most=300) == 256


@pytest.mark.parametrize("depth", [300, pytest.param(5000, marks=pytest.mark.nightly)])
def test_j09_what_is_hard_to_remove(place: Place, tier: str, depth: int, tmp_path: Path) -> None:
    """Deep trees, names of any bytes, no rights, sockets, FIFOs and links, wherever a hook may write."""
    if depth > 300 and tier != "namespaces":
        pytest.skip("the removal is the same, and a disk takes its time")
    try:
        assert attack(place, "litter", depth=depth, where=str(tmp_path / "litter")) == "done"
        assert (tmp_path / "litter" / "d").exists()
    finally:
        _remove(tmp_path / "litter")  # pytest fails to remove it
    before = traces(place.tmp)
    for where in ("${TMPDIR}/x", "${HOME}/x"):
        assert attack(place, "litter", limits={}, where=where, depth=depth) == "done"
        assert traces(place.tmp).files == before.files
    # In the control directory and beside the artefact: the call takes only the results, and removes the rest.
    for hook, where in (("get_requires_for_build_wheel", "@control/x"), ("build_wheel", "@output/x")):
        attacks = {"it": {"probe": "litter", "arguments": {"where": where, "depth": depth}}}
        policy = Policy(allow_degraded=frozenset(Protection))
        assert place.call(attacks, hook=hook, policy=policy)["it"] == "done"
        assert traces(place.tmp).files == before.files


def _remove(path: Path) -> None:
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        remove_tree(parent, path.name)
    finally:
        os.close(parent)


@pytest.fixture
def own_score() -> Iterator[int]:
    """The oom_score_adj of this process. The fixture restores it if an attack has changed it."""
    path = Path("/proc/self/oom_score_adj")
    before = int(path.read_text())
    yield before
    if int(path.read_text()) != before:
        path.write_text(str(before))


def test_j14_the_frontend_is_not_what_runs_out_of_memory_first(place: Place, tier: str, own_score: int) -> None:
    evidence = attack(place, "oom_score", pid=os.getpid())
    assert evidence["self before"] == own_score, "without the sandbox, the hook has the frontend's value"
    assert int(Path("/proc/self/oom_score_adj").read_text()) == 1000, "it can be raised without the sandbox"
    Path("/proc/self/oom_score_adj").write_text(str(own_score))
    evidence = attack(place, "oom_score", limits={}, pid=os.getpid())
    assert evidence["self before"] == 1000
    assert evidence["self"] in ("EACCES", "EROFS", "EPERM")
    assert evidence[str(os.getpid())] in ("ENOENT", "EACCES", "EROFS", "EPERM")
    assert int(Path("/proc/self/oom_score_adj").read_text()) == own_score
    assert until(lambda: processes_naming(place.tmp) == [])
