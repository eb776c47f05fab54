"""What a world plants goes, however its maker ends."""

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
    # A hook that runs without the sandbox, and has left a daemon.
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
    """A process that has made a world, and removes it when its input ends."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-c", _MAKER, "fail"]
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as process:
        yield process
        process.kill()


def _left(made: dict[str, Any]) -> list[str]:
    """Return what is still there of a world."""
    libc, buffer = library(), ctypes.create_string_buffer(256)
    numbers = made["identifiers"]
    present = {
        "base": os.path.lexists(made["base"]),
        "victim": os.path.exists(f"/proc/{made['victim']}"),
        "daemon": any(processes(made["daemon"])),
        "files": any(os.path.lexists(path) for path in made["elsewhere"]),
        "socket": os.path.lexists(f"/tmp/.isolated-hooks-socket-{made['random']}"),
        "segment": libc.shmctl(numbers["segment"], 2, buffer) == 0,
        "semaphore": libc.semctl(numbers["semaphore"], 0, 2, buffer) == 0,
        "queue": libc.msgctl(numbers["queue"], 2, buffer) == 0,
        "key": f"isolated-hooks-{made['random']}" in Path("/proc/keys").read_text(),
    }
    return [name for name, there in present.items() if there]


def _made(maker: subprocess.Popen[str]) -> dict[str, Any]:
    assert maker.stdout is not None
    made: dict[str, Any] = json.loads(maker.stdout.readline())
    expected = ["base", "victim", "daemon", "files", "socket", "segment", "semaphore", "queue"]
    assert set(expected) <= set(_left(made)), "there is nothing to be removed"
    return made


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name)
def test_nothing_is_left_of_a_world_whose_maker_is_killed(maker: subprocess.Popen[str], number: signal.Signals) -> None:
    """An interrupt goes to the whole group, as a terminal sends it; the janitor is not in it."""
    made = _made(maker)
    if number is signal.SIGINT:
        os.killpg(maker.pid, number)
    else:
        maker.send_signal(number)
    maker.wait(60)  # a session keyring of its own goes with a process that was waited for
    assert until(lambda: not _left(made)), _left(made)


def test_nothing_is_left_of_a_world_whose_maker_fails(maker: subprocess.Popen[str]) -> None:
    made = _made(maker)
    assert maker.stdin is not None
    maker.stdin.close()
    assert maker.wait(60) == 1
    assert until(lambda: not _left(made)), _left(made)  # the kernel collects keys in its own time


def test_the_process_is_as_it_was(tmp_path: Path) -> None:
    """Environment, handlers, umask, temporary directory and descriptors."""
    before = dict(os.environ), signal.getsignal(signal.SIGUSR2), len(os.listdir("/proc/self/fd"))
    with World() as world:
        assert os.environ["HOME"] == str(world.home)
    assert (dict(os.environ), signal.getsignal(signal.SIGUSR2), len(os.listdir("/proc/self/fd"))) == before


def test_what_is_harmless_plants_nothing_where_it_might_be_noticed() -> None:
    with World(harmless=True) as world:
        assert not {"etc", "srv"} & world.elsewhere.keys()
        assert not any(str(path).startswith(("/etc", "/srv", "/usr")) for path in world.elsewhere.values())


def test_what_could_disturb_a_host_is_not_harmless() -> None:
    """Whatever writes or opens what was not planted, may load a module of the kernel, or mounts on the host."""
    harmful = "A15-etc A15-srv A15-shadow C03-usr C03-etc C04-real-home C05-spool C14-immutable E09-host-name".split()
    harmful += "E10-vsock E11-packet F01-core-pattern F02-settings F03-helpers F04-control-groups F05-files".split()
    harmful += "F05-syslog F06-disks F08-node F09-formats G03-mount".split()
    harmful += [f"K06-{family}" for family in ("alg", "bluetooth", "can", "rds", "tipc", "xdp")]
    assert sorted(attack.name for attack in ATTACKS if attack not in HARMLESS) == sorted(harmful)


@pytest.mark.usefixtures("sandbox")
def test_an_attack_that_was_not_tried_to_its_end_is_no_success_of_the_sandbox() -> None:
    """A probe that fails by itself has shown nothing."""
    attack = Attack("A01-wrong", "do something", "read", fixed(nothing="of the kind"), done, harmless=True)
    with pytest.raises(UntriedError, match="A01-wrong was not tried to its end"):
        conduct("build_wheel", sandboxed=True, attacks=[attack])
