"""Attacks on processes and over sockets: families D and E."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from typing import Any

from ...protections import Protection
from ..attack import Arguments, Attack, Verdict, done, fixed, leaks, no_arguments
from ..world.processes import processes
from ..world.world import World

__all__ = ["REACH_ATTACKS"]


def _signal_attacks() -> Iterable[Attack]:
    yield Attack(
        "D01-signal",
        "end another process",
        "send_signal",
        lambda w: {"pid": w.prey.pid, "number": signal.SIGTERM},
        lambda w, _: w.prey_was_signalled(),
        harmless=True,
    )
    yield Attack(
        "D01-frontend",
        "signal the frontend",
        "send_signal",
        lambda _: {"pid": os.getpid(), "number": signal.SIGUSR2},
        lambda w, _: bool(w.signals),
        harmless=True,
    )
    yield Attack(
        "D01-group",
        "find the frontend's process group, to signal it",
        "send_signal",
        lambda _: {"pid": -os.getpgrp(), "number": 0},
        lambda _, evidence: evidence["kill"] == "done",
        harmless=True,
    )
    yield Attack(
        "D01-visible",
        "see another process",
        "visible_processes",
        _victim,
        lambda _, evidence: evidence["listed"] or evidence["exists"] == "done",
        harmless=True,
    )


def _process_attacks() -> Iterable[Attack]:
    ptrace = "a host may forbid ptrace"
    yield Attack("D02-trace", "attach to another process", "trace", _victim, done, ptrace, harmless=True)
    yield Attack(
        "D02-memory",
        "read another process's memory",
        "memory",
        lambda w: {"pid": w.victim.pid, "address": w.address, "size": 32},
        leaks("memory"),
        ptrace,
        harmless=True,
    )
    yield Attack(
        "D02-descriptor",
        "take a descriptor out of another process",
        "steal_descriptor",
        lambda w: {"pid": w.victim.pid, "descriptor": w.descriptor},
        leaks("opened"),
        ptrace,
        harmless=True,
    )
    name = "D02-limits"
    yield Attack(name, "set a limit of another process", "set_limit", _victim, done, harmless=True)
    tries = "leave a process that outlives the hook"
    yield Attack("D03-daemon", tries, "daemon", lambda w: {"name": w.daemon}, _daemon_lives, harmless=True)
    yield Attack(
        "J14-victim",
        "have another process killed first when memory is short",
        "sacrifice",
        lambda w: {"pid": w.victim.pid, "score": "987"},
        lambda w, _: w.victim_score() == 987,
        harmless=True,
    )
    tries = "make another process wait for all others"
    yield Attack("D11-others", tries, "lower_priority", _victim, done, harmless=True)
    privileges = (Protection.PRIVILEGES,)
    tries = "get a priority over all other processes"
    yield Attack("D11-own", tries, "raise_priority", no_arguments, done, root=True, harmless=True, stopped=privileges)


def _victim(world: World) -> dict[str, Any]:
    return {"pid": world.victim.pid}


def _daemon_lives(world: World, evidence: Any) -> bool:
    assert evidence == {"started": True}
    return any(processes(world.daemon))


_SOCKETS = {
    "E08-tcp": ("tcp", "AF_INET", "SOCK_STREAM"),
    "E07-udp": ("udp", "AF_INET", "SOCK_DGRAM"),
    "E07-tcp6": ("tcp6", "AF_INET6", "SOCK_STREAM"),
    "E04-abstract": ("abstract", "AF_UNIX", "SOCK_STREAM"),
    "E05-path": ("path", "AF_UNIX", "SOCK_STREAM"),
    "E05-datagram": ("datagram", "AF_UNIX", "SOCK_DGRAM"),
    "C16-shared": ("shared", "AF_UNIX", "SOCK_STREAM"),
}


def _sending(listener: str, family: str, kind: str) -> Arguments:
    return lambda world: {
        "family": family,
        "kind": kind,
        "address": world.listeners.address_of(listener),
        "token": world.listeners.token,
    }


def _arrived(listener: str) -> Verdict:
    return lambda world, _evidence: world.listeners.reached(listener)


def _socket_attacks() -> Iterable[Attack]:
    for name, (listener, family, kind) in _SOCKETS.items():
        yield Attack(
            name,
            f"send something to a listener outside: {listener}",
            "connect",
            _sending(listener, family, kind),
            _arrived(listener),
            {"tcp6": "a host may lack IPv6", "shared": "a host may close /tmp to this user"}.get(listener, ""),
            harmless=True,
        )
    yield Attack(
        "E05-proc-root",
        "connect to a path through /proc/PID/root",
        "connect",
        lambda w: {
            "family": "AF_UNIX",
            "kind": "SOCK_STREAM",
            "address": f"/proc/{w.victim.pid}/root{w.home}/agent.sock",
            "token": w.listeners.token,
        },
        lambda w, _: w.listeners.reached("path"),
        harmless=True,
    )
    yield Attack(
        "H11-accomplice",
        "hand an open file to a process outside",
        "hand_over",
        lambda w: {"address": w.listeners.address_of("accomplice"), "path": "hostile.py"},
        lambda w, _: w.listeners.was_handed_a_file(),
        harmless=True,
    )


def _network_attacks() -> Iterable[Attack]:
    offline = "a host may have no network"
    routes = {
        "E07-route": ("find a way to the internet", "192.0.2.1"),
        "E07-route6": ("find a way to the internet by IPv6", "2001:db8::1"),
        "A19-metadata": ("find the cloud's metadata", "169.254.169.254"),
        "A19-metadata6": ("find the cloud's metadata by IPv6", "fd00:ec2::254"),
    }
    for name, (tries, address) in routes.items():
        yield Attack(name, tries, "route", fixed(address=address), done, offline, harmless=True)
    tries = "find a way to the name server"
    yield Attack("E06-resolver", tries, "name_servers", no_arguments, lambda _, e: "done" in e, offline, harmless=True)
    tries = "list interfaces"
    yield Attack(
        "E09-interfaces", tries, "interfaces", no_arguments, lambda _, e: bool(e["others"]), offline, harmless=True
    )
    yield Attack("E09-events", "hear of devices", "device_events", no_arguments, done, harmless=True)
    yield Attack("E07-raw", "make a raw socket", "raw_socket", no_arguments, done, root=True, harmless=True)
    # Not harmless: the kernel may load a module for each.
    lacks = "a kernel may lack this family"
    for family in ("alg", "bluetooth", "can", "rds", "tipc", "xdp"):
        name, tries = f"K06-{family}", f"make a socket of family {family}"
        yield Attack(name, tries, "family", fixed(name=family), done, lacks)
    yield Attack("E10-vsock", "make a socket of family vsock", "family", fixed(name="vsock"), done, lacks)
    tries = "make a socket of family packet"
    yield Attack("E11-packet", tries, "family", fixed(name="packet"), done, root=True)


def _identifier(name: str) -> Arguments:
    return lambda world: {"identifier": world.ipc.identifiers[name]}


def _ipc_attacks() -> Iterable[Attack]:
    identifiers = {
        "segment": ("read shared memory", "shared_memory"),
        "semaphore": ("take a semaphore", "semaphore"),
        "queue": ("take a message out of a queue", "message_queue"),
    }
    for name, (tries, probe) in identifiers.items():
        yield Attack(
            f"E01-{name}",
            tries,
            probe,
            _identifier(name),
            done if name == "semaphore" else leaks(name),
            "a kernel may lack System V IPC",
            harmless=True,
        )
    yield Attack(
        "E02-queue",
        "take a message out of a queue that has a name",
        "named_queue",
        lambda w: {"name": w.ipc.queue_name},
        leaks("named-queue"),
        "a kernel may lack POSIX message queues",
        harmless=True,
    )


REACH_ATTACKS = (*_signal_attacks(), *_process_attacks(), *_socket_attacks(), *_network_attacks(), *_ipc_attacks())
