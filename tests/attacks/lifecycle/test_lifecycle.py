"""The frontend sees how a hook ends; when the hook or the frontend ends, all processes end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.attacks.place import Place, processes_naming, sandbox_mounts
from support.lanes import first_fast

from isolated_hooks import Policy
from isolated_hooks.errors import HookTimeoutError
from isolated_hooks.selftest.world.processes import end_processes, processes, until

pytestmark = pytest.mark.usefixtures("sandbox")

_FIRST_THROWAWAY_UID = 61184


@pytest.fixture
def place(place: Place, launcher: str) -> Place:
    """The place, once with each launcher."""
    place.launcher = launcher
    return place


@pytest.fixture
def name() -> Iterator[str]:
    """A process name for the backend. The fixture kills processes that still have it at the end."""
    chosen = f"ih-{os.urandom(4).hex()}"
    yield chosen
    end_processes(chosen)


def _waiting(place: Place, name: str, **named: Any) -> dict[str, Any]:
    arguments = {"name": name, "started": "started", "release": str(place.tree / "release"), **named}
    return {"wait": {"probe": "wait", "arguments": arguments}}


def _holding(place: Place, name: str) -> dict[str, Any]:
    arguments = {"name": name, "release": str(place.tree / "release")}
    return {"hold": {"probe": "hold_output", "arguments": arguments}}


@pytest.mark.parametrize(
    "how",
    [*({"code": code} for code in (1, 7, 125, 255)), *({"number": number} for number in (6, 9, 11, 15))],
    ids=str,
)
def test_the_runner_sees_how_the_hook_ended(place: Place, how: dict[str, int]) -> None:
    """The exit code, the signal and the error are the same as without the sandbox."""
    seen = []
    for sandboxed in (False, True):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            place.call({"end": {"probe": "end", "arguments": how}}, sandboxed=sandboxed)
        seen.append((type(caught.value), caught.value.returncode))
    assert seen == [(subprocess.CalledProcessError, how.get("code", -how.get("number", 0)))] * 2


def test_nothing_is_left_of_a_hook_that_failed(place: Place) -> None:
    """The call removes the workspace, however the hook ends."""
    with pytest.raises(subprocess.CalledProcessError):
        place.call({"end": {"probe": "end", "arguments": {"number": 9}}})
    assert list(place.tmp.iterdir()) == []
    assert processes_naming(place.tmp) == []


def test_no_process_of_the_hook_is_the_callers(place: Place, name: str) -> None:
    """Seen from the host: a throw-away uid if the caller is root, otherwise the caller's own uid."""
    thread = threading.Thread(target=place.call, args=(_waiting(place, name),))
    thread.start()
    try:
        pid = until(lambda: next(processes(name), None))
        assert pid is not None
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        ids = {word for line in status if line.startswith(("Uid:", "Gid:")) for word in line.split()[1:]}
        session = os.getsid(pid)
    finally:
        (place.tree / "release").touch()
        thread.join(60)
    if os.geteuid() == 0:
        assert all(int(number) >= _FIRST_THROWAWAY_UID for number in ids)
    else:
        assert ids == {str(os.geteuid()), str(os.getegid())}
    assert session != os.getsid(0)


def test_a_process_that_keeps_output_open_does_not_block_the_caller(place: Place, name: str) -> None:
    """Without the sandbox a runner that captures waits until the daemon closes its end; inside it is dead by then."""
    name_of_control = f"{name}-out"
    attacks, control = _holding(place, name), _holding(place, name_of_control)
    open_end = threading.Thread(target=place.call, args=(control,), kwargs={"sandboxed": False})
    open_end.start()
    assert until(lambda: (place.tree / "evidence.json").exists() and any(processes(name_of_control)))
    open_end.join(1)
    assert open_end.is_alive(), "it does not block even without the sandbox, so this proves nothing"
    (place.tree / "release").touch()
    open_end.join(60)
    (place.tree / "release").unlink()

    inside = threading.Thread(target=place.call, args=(attacks,), daemon=True)
    inside.start()
    inside.join(60)
    assert not inside.is_alive()
    assert not any(processes(name))


@pytest.mark.slow
def test_a_hook_that_ignores_every_signal_is_ended_at_the_time_limit(place: Place, name: str) -> None:
    """The hook ignores SIGTERM, but it cannot ignore SIGKILL."""
    policy = Policy(limits={"wall_time": 0.5})
    with pytest.raises(HookTimeoutError) as caught:
        place.call(_waiting(place, name, stubborn=True), policy=policy)
    assert caught.value.limit == "wall_time"
    assert not any(processes(name))


# Each signal, and each pair of a signal, an identity and a way to start the launcher at least once. The last two, at
# night, add no pair.
_ENDS = [
    (signal.SIGKILL, False, False),
    (signal.SIGTERM, False, False),
    (signal.SIGINT, False, False),
    (signal.SIGKILL, True, True),
    (signal.SIGTERM, True, False),
    (signal.SIGTERM, False, True),
    (signal.SIGINT, True, True),
    (signal.SIGKILL, True, False),
    (signal.SIGKILL, False, True),
]


@pytest.mark.parametrize(
    ("number", "mirror", "shell"),
    [*first_fast(_ENDS[:7], 3), *(pytest.param(*case, marks=pytest.mark.nightly) for case in _ENDS[7:])],
    ids=[f"{n.name}{'-mirrored' * mirror}{'-through-a-shell' * shell}" for n, mirror, shell in _ENDS],
)
def test_everything_ends_with_the_frontend(
    place: Place, name: str, number: signal.Signals, mirror: bool, shell: bool
) -> None:
    """The sandbox dies with the frontend; a later call removes the workspace and gives new files back."""
    if mirror and os.geteuid() != 0:
        pytest.skip("only root has a second identity")
    options = {"mirror": mirror, "shell": shell}
    frontend = place.frontend(_waiting(place, name, stubborn=True), options=options)
    try:
        assert until((place.tree / "started").exists)
        assert any(processes(name))
    finally:
        frontend.send_signal(number)
        frontend.wait(60)
    # When a process ends, its command line disappears first and the process a moment later.
    assert until(lambda: not processes_naming(place.tmp) and not any(processes(name)))
    assert sandbox_mounts(Path("/proc/self"), place.tmp) == []

    assert place.frontend({}, options=options).wait(60) == 0
    left = [path.name for path in place.tmp.iterdir() if "isolated-hooks" in path.name]
    assert left == []
    assert {path.lstat().st_uid for path in place.tree.rglob("*")} == {os.geteuid()}


def test_a_hook_without_the_sandbox_outlives_its_frontend(place: Place, name: str) -> None:
    """The control for the test above."""
    frontend = place.frontend(_waiting(place, name), options={"sandboxed": False})
    assert until((place.tree / "started").exists)
    frontend.kill()
    frontend.wait(60)
    assert any(processes(name))
    (place.tree / "release").touch()
    assert until(lambda: not any(processes(name)))


def test_a_read_only_source_tree_stays_as_it_is(place: Place) -> None:
    """With ``source = "read-only"`` the hook runs and cannot change the tree; otherwise it can."""
    marker = place.tree / "marker"
    attacks = {"write": {"probe": "create", "arguments": {"paths": [str(marker)], "text": "x"}}}
    caller = place.caller(policy=Policy(source="read-only"))
    caller.get_requires_for_build_wheel({"attacks": json.dumps(attacks)})
    assert not marker.exists()
    assert not (place.tree / "evidence.json").exists()
    place.call(attacks)
    assert marker.exists()


def test_the_loopback_of_its_own_works(place: Place) -> None:
    """Otherwise, unreachable listeners outside would only show that nothing at all is reachable."""
    assert place.call({"loopback": {"probe": "own_loopback", "arguments": {}}}) == {"loopback": "done"}
