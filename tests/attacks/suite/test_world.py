"""The targets of a world disappear, however its maker ends."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.lanes import first_fast

from isolated_hooks.selftest.attack import Attack, done, fixed
from isolated_hooks.selftest.attacks.table import ATTACKS, HARMLESS
from isolated_hooks.selftest.conduct import UntriedError, conduct
from isolated_hooks.selftest.world.janitor import library
from isolated_hooks.selftest.world.processes import processes, until
from isolated_hooks.selftest.world.world import World

_MAKER = """
import json, sys, time
from isolated_hooks.selftest.attacks.table import ATTACKS
from isolated_hooks.selftest.world.world import World

with World(harmless=True) as world:
    runner = world.inner_runner()
    for attack in ATTACKS:
        attack.arguments(world)
    # A hook runs without the sandbox, and leaves a daemon.
    from isolated_hooks.selftest.conduct import call_hook
    import pyproject_hooks
    caller = pyproject_hooks.BuildBackendHookCaller(str(world.tree), "hostile", ["."], runner, str(world.python))
    daemon = {"daemon": {"probe": "daemon", "arguments": {"name": world.daemon}}}
    call_hook(caller, "get_requires_for_build_wheel", "", {"attacks": json.dumps(daemon)})
    made = {"base": str(world.base), "random": world.random, "victim": world.victim.pid, "daemon": world.daemon}
    made |= {"elsewhere": [str(path) for path in world.elsewhere.values()], "identifiers": world.ipc.identifiers}
    print(json.dumps(made), flush=True)
    sys.stdin.read()
    if len(sys.argv) > 1:
        raise RuntimeError
"""


@pytest.fixture
def maker() -> Iterator[subprocess.Popen[str]]:
    """A process that has made a world, and fails when its input ends."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-c", _MAKER, "fail"]
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as process:
        yield process
        process.kill()


def _remaining(planted: dict[str, Any]) -> list[str]:
    """Return the kinds of targets of a world that still exist."""
    libc, buffer = library(), ctypes.create_string_buffer(256)
    numbers = planted["identifiers"]
    present = {
        "base": os.path.lexists(planted["base"]),
        "victim": os.path.exists(f"/proc/{planted['victim']}"),
        "daemon": any(processes(planted["daemon"])),
        "files": any(os.path.lexists(path) for path in planted["elsewhere"]),
        "socket": os.path.lexists(f"/tmp/.isolated-hooks-socket-{planted['random']}"),
        "segment": libc.shmctl(numbers["segment"], 2, buffer) == 0,
        "semaphore": libc.semctl(numbers["semaphore"], 0, 2, buffer) == 0,
        "queue": libc.msgctl(numbers["queue"], 2, buffer) == 0,
        "key": f"isolated-hooks-{planted['random']}" in Path("/proc/keys").read_text(errors="replace"),
    }
    return [name for name, there in present.items() if there]


def _planted(maker: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the targets of the world that the maker has made, by its own description."""
    assert maker.stdout is not None
    planted: dict[str, Any] = json.loads(maker.stdout.readline())
    expected = ["base", "victim", "daemon", "files", "socket", "segment", "semaphore", "queue"]
    assert set(expected) <= set(_remaining(planted)), "the world has nothing to remove"
    return planted


@pytest.mark.parametrize(
    "number", first_fast([signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]), ids=lambda n: n.name
)
def test_nothing_is_left_of_a_world_whose_maker_is_killed(maker: subprocess.Popen[str], number: signal.Signals) -> None:
    """A terminal sends an interrupt to the whole process group, which does not include the janitor."""
    planted = _planted(maker)
    if number is signal.SIGINT:
        os.killpg(maker.pid, number)
    else:
        maker.send_signal(number)
    maker.wait(60)  # the kernel frees a session keyring of its own once the process is reaped
    assert until(lambda: not _remaining(planted)), _remaining(planted)


def test_nothing_is_left_of_a_world_whose_maker_fails(maker: subprocess.Popen[str]) -> None:
    planted = _planted(maker)
    assert maker.stdin is not None
    maker.stdin.close()
    assert maker.wait(60) == 1
    assert until(lambda: not _remaining(planted)), _remaining(planted)  # the kernel frees keys some time later


def test_a_world_restores_the_state_of_the_process(tmp_path: Path) -> None:
    """Environment, handlers, umask, temporary directory and descriptors."""
    before = dict(os.environ), signal.getsignal(signal.SIGUSR2), len(os.listdir("/proc/self/fd"))
    with World() as world:
        assert os.environ["HOME"] == str(world.home)
    assert (dict(os.environ), signal.getsignal(signal.SIGUSR2), len(os.listdir("/proc/self/fd"))) == before


def test_a_harmless_world_plants_nothing_in_system_directories() -> None:
    with World(harmless=True) as world:
        assert not {"etc", "srv"} & world.elsewhere.keys()
        assert not any(str(path).startswith(("/etc", "/srv", "/usr")) for path in world.elsewhere.values())


def test_attacks_that_could_disturb_a_host_are_not_harmless() -> None:
    """They write to or open objects that were not planted, may load a kernel module, or mount on the host."""
    harmful = "A15-etc A15-srv A15-shadow C03-usr C03-etc C04-real-home C05-spool C14-immutable E09-host-name".split()
    harmful += "E10-vsock E11-packet F01-core-pattern F02-settings F03-helpers F04-control-groups F05-files".split()
    harmful += "F05-syslog F06-disks F08-node F09-formats G03-mount".split()
    harmful += [f"K06-{family}" for family in ("alg", "bluetooth", "can", "rds", "tipc", "xdp")]
    assert sorted(attack.name for attack in ATTACKS if attack not in HARMLESS) == sorted(harmful)


@pytest.mark.usefixtures("sandbox")
def test_a_probe_that_crashes_does_not_count_as_held() -> None:
    """It shows nothing about the sandbox."""
    attack = Attack("A01-wrong", "do something", "read", fixed(nothing="of the kind"), done, harmless=True)
    with pytest.raises(UntriedError, match="A01-wrong was not tried to its end"):
        conduct("build_wheel", sandboxed=True, attacks=[attack])
