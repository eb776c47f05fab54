"""The sandbox's own network: a loopback that is up, and nothing else."""

from __future__ import annotations

from . import syscalls


def loopback_up() -> None:
    """Bring up ``lo``: test suites and MPI need it, and addresses on it reach nobody outside, network_namespaces(7)."""
    syscalls.socket_up(b"lo")
