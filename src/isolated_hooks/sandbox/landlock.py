"""Landlock, landlock(7): what confines a hook where the host refuses user namespaces.

Rules name directories and files by descriptor, so no link leads around them. What a ruleset handles and no rule
allows is refused. What it cannot handle at all, such as stat(2), chmod(2) and the listing of processes, stays open.
"""

from __future__ import annotations

import os
import stat
from errno import ENOENT

from . import syscalls

if False:
    from collections.abc import Iterable

SCOPE_ABSTRACT_UNIX_SOCKET = 1  # since ABI 6, Linux 6.12
SCOPE_SIGNAL = 2

# LANDLOCK_ACCESS_FS_*: what may be done to a file, and what only in a directory.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = (1 << n for n in (0, 1, 2, 3, 14, 15))
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_REFER = 1 << 13
# How many of the accesses an ABI knows, landlock(7). REFER, without which no file can be renamed into another
# directory, came with ABI 2.
_KNOWN = {1: 13, 2: 14, 3: 15, 4: 15}
_ALL_KNOWN = 16
MINIMUM_ABI = 2
_SCOPES = 6
_TRUNCATES = 3

LIST, READ, WRITE, DEVICE = range(4)


def scope_abstract_sockets() -> None:
    """Keep this process and its children from connecting to abstract unix sockets of processes outside.

    :raises SyscallError: the kernel's Landlock is older, or off
    """
    _restrict_scope(SCOPE_ABSTRACT_UNIX_SOCKET)


def scope_signals() -> bool:
    """Have this process, and all that come from it, signal none but each other; say whether this kernel can do that.

    Without a PID namespace that is what lets kill(2) of -1 end a hook, and nothing else, in one step. It needs either
    no_new_privs or CAP_SYS_ADMIN.
    """
    try:
        if syscalls.landlock_abi() < _SCOPES:
            return False
        _restrict_scope(SCOPE_SIGNAL)
    except syscalls.SyscallError:
        return False
    return True


def _restrict_scope(scope: int) -> None:
    """Restrict nothing but a scope.

    A ruleset refuses REFER unless it allows it, even where it handles nothing else of files, landlock(7): so it does.
    """
    ruleset = syscalls.landlock_ruleset(_REFER, 0, scope)
    root = syscalls.open_path(b"/")
    try:
        syscalls.landlock_allow(ruleset, root, _REFER, path=b"/")
    finally:
        os.close(root)
    syscalls.landlock_restrict(ruleset)


class Confined:
    """What a ruleset confines beside opening files.

    :ivar signals: signals, and abstract sockets, since ABI 6
    :ivar truncation: truncate(2), since ABI 3
    """

    def __init__(self, abi: int) -> None:
        self.signals = abi >= _SCOPES
        self.truncation = abi >= _TRUNCATES


def confine(rules: Iterable[tuple[bytes, int]], *, network: bool) -> Confined:
    """Confine this process and its children to some paths, and to signals and sockets of their own.

    :param rules: paths without links, each with LIST, READ, WRITE or DEVICE
    :param network: leave TCP alone
    :return: what is confined too
    :raises SyscallError: the kernel's Landlock is older than ABI 2, or off
    """
    abi = syscalls.landlock_abi()
    if abi < MINIMUM_ABI:
        raise syscalls.SyscallError(95, "landlock_create_ruleset")
    handled = (1 << _KNOWN.get(abi, _ALL_KNOWN)) - 1
    # Binding and connecting TCP sockets: no rule allows either.
    net = 3 if abi >= 4 and not network else 0
    scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL if abi >= _SCOPES else 0
    ruleset = syscalls.landlock_ruleset(handled, net, scoped)
    for path, kind in rules:
        _allow(ruleset, path, kind, handled)
    syscalls.landlock_restrict(ruleset)
    return Confined(abi)


def _allow(ruleset: int, path: bytes, kind: int, handled: int) -> None:
    try:
        fd = syscalls.open_path(path)
    except syscalls.SyscallError as error:
        if kind in (LIST, READ) and error.errno == ENOENT:
            return  # gone since the plan was made, from among what lies beside something private of the system
        raise
    try:
        directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        access = (_READ_DIR, _READ, handled, _READ_FILE | _WRITE_FILE | _IOCTL_DEV)[kind] & handled
        syscalls.landlock_allow(ruleset, fd, access if directory else access & _FILE, path=path)
    finally:
        os.close(fd)
