"""The sandbox's own network: a loopback that is up, and nothing else."""

from __future__ import annotations

from errno import EACCES, EAFNOSUPPORT, ENOSYS, EPERM

from . import syscalls


def loopback_up() -> None:
    """Bring up ``lo``: test suites and MPI need it, and addresses on it reach nobody outside, network_namespaces(7).

    Where the host lets nobody have a socket of the kind that this takes, a hook cannot have one either, and needs none.
    """
    try:
        syscalls.socket_up(b"lo")
    except syscalls.SyscallError as error:
        if error.syscall != "socket" or error.errno not in (EPERM, EACCES, ENOSYS, EAFNOSUPPORT):
            raise
