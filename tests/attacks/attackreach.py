"""Attacks on processes and over sockets: families D and E."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from typing import Any

from attackkinds import Attack, done, leaks, nothing
from attackworld import World, processes


def _process_attacks() -> Iterable[Attack]:
    yield Attack(
        "D01-signal",
        "end another process",
        "send_signal",
        lambda w: {"pid": w.prey.pid, "number": signal.SIGTERM},
        lambda w, _: w.prey_was_signalled(),
    )
    yield Attack(
        "D01-frontend",
        "signal the frontend",
        "send_signal",
        lambda _: {"pid": os.getpid(), "number": signal.SIGUSR2},
        lambda w, _: bool(w.signals),
    )
    yield Attack(
        "D01-visible",
        "see another process",
        "visible_processes",
        lambda w: {"pid": w.victim.pid},
        lambda _, evidence: evidence["listed"] or evidence["exists"] == "done",
    )
    yield Attack("D02-trace", "attach to another process", "trace", _victim, done, "a host may forbid ptrace")
    yield Attack(
        "D02-memory",
        "read another process's memory",
        "memory",
        lambda w: {"pid": w.victim.pid, "address": w.address, "size": 32},
        leaks("memory"),
        "a host may forbid ptrace",
    )
    yield Attack(
        "D02-descriptor",
        "take a descriptor out of another process",
        "steal_descriptor",
        lambda w: {"pid": w.victim.pid, "descriptor": w.descriptor},
        leaks("opened"),
        "a host may forbid ptrace",
    )
    yield Attack("D03-daemon", "leave a daemon", "daemon", lambda w: {"name": w.daemon}, _daemon_lives)


def _victim(world: World) -> dict[str, Any]:
    return {"pid": world.victim.pid}


def _daemon_lives(world: World, evidence: Any) -> bool:
    assert evidence == {"started": True}
    return any(processes(world.daemon))


def _socket_attacks() -> Iterable[Attack]:
    sockets = {
        "E08-tcp": ("tcp", "AF_INET", "SOCK_STREAM"),
        "E07-udp": ("udp", "AF_INET", "SOCK_DGRAM"),
        "E07-tcp6": ("tcp6", "AF_INET6", "SOCK_STREAM"),
        "E04-abstract": ("abstract", "AF_UNIX", "SOCK_STREAM"),
        "E05-path": ("path", "AF_UNIX", "SOCK_STREAM"),
        "E05-datagram": ("datagram", "AF_UNIX", "SOCK_DGRAM"),
    }
    for name, (listener, family, kind) in sockets.items():
        yield Attack(
            name,
            f"send something to a listener outside: {listener}",
            "connect",
            lambda w, a=(listener, family, kind): {
                "family": a[1], "kind": a[2], "address": w.address_of(a[0]), "token": w.token
            },
            lambda w, _, listener=listener: w.reached(listener),
            "a host may lack IPv6" if listener == "tcp6" else "",
        )  # fmt: skip
    yield Attack(
        "E05-proc-root",
        "connect to a path through /proc/PID/root",
        "connect",
        lambda w: {
            "family": "AF_UNIX",
            "kind": "SOCK_STREAM",
            "address": f"/proc/{w.victim.pid}/root{w.home}/agent.sock",
            "token": w.token,
        },
        lambda w, _: w.reached("path"),
    )
    offline = "a host may have no network"
    yield Attack("E07-route", "find a way to the internet", "route", lambda _: {"address": "192.0.2.1"}, done, offline)
    yield Attack("E19-metadata", "find the cloud's metadata", "route", _metadata_service, done, offline)
    yield Attack("E09-interfaces", "list interfaces", "interfaces", nothing, lambda _, e: bool(e["others"]), offline)
    yield Attack("E09-events", "hear of devices", "device_events", nothing, done)
    for family in ("alg", "bluetooth", "can", "packet", "rds", "tipc", "vsock", "xdp"):
        needs = "root" if family == "packet" else "a kernel may lack this family"
        name = f"E10-{family}" if family == "vsock" else f"E11-{family}" if family == "packet" else f"K06-{family}"
        yield Attack(name, f"make a socket of family {family}", "family", lambda _, f=family: {"name": f}, done, needs)
    yield Attack("E07-raw", "make a raw socket", "raw_socket", nothing, done, "root")
    yield Attack(
        "E01-segment",
        "read shared memory",
        "shared_memory",
        lambda w: {"identifier": w.segment},
        leaks("segment"),
    )


def _metadata_service(_world: World) -> dict[str, Any]:
    return {"address": "169.254.169.254"}


REACH_ATTACKS = (*_process_attacks(), *_socket_attacks())
