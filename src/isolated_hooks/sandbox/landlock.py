"""Landlock: what namespaces leave open when the network is the caller's."""

from __future__ import annotations

from . import syscalls

_SCOPE_ABSTRACT_UNIX_SOCKET = 1  # since ABI 6, Linux 6.12


def scope_abstract_sockets() -> None:
    """Keep this process and its children from connecting to abstract unix sockets of processes outside.

    :raises SyscallError: the kernel's Landlock is older, or off
    """
    syscalls.landlock_scope(_SCOPE_ABSTRACT_UNIX_SOCKET)
