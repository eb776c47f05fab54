"""Landlock, landlock(7): all that confines a hook if the host refuses user namespaces, and a second wall elsewhere.

Rules name directories and files by descriptor, so no link leads around them. A ruleset refuses every access that it
handles and that no rule allows. Accesses that it cannot handle, such as stat(2), chmod(2) and listing processes, stay
open.
"""

from __future__ import annotations

import fcntl
import os
import stat
from errno import EBADFD, ENOENT

from . import syscalls

if False:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

SCOPE_ABSTRACT_UNIX_SOCKET = 1  # since ABI 6, Linux 6.12
SCOPE_SIGNAL = 2

# LANDLOCK_ACCESS_FS_*. _FILE has the accesses that exist for files; the others exist only for directories.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = (1 << n for n in (0, 1, 2, 3, 14, 15))
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_REMOVE_FILE, _MAKE_SOCK, _REFER = 1 << 5, 1 << 9, 1 << 13
# The number of accesses that each ABI knows, landlock(7). ABI 2 added REFER; without it no file can be renamed into
# another directory.
_KNOWN = {1: 13, 2: 14, 3: 15, 4: 15}
_ALL_KNOWN = 16
MINIMUM_ABI = 2
_SCOPES = 6
_TRUNCATES = 3

LIST, READ, WRITE, DEVICE, SOCKETS = range(5)
#: The directory of all sockets with a path, where there are namespaces: see broker.py.
OF_SOCKETS = b"/.sockets"


def scope_abstract_sockets() -> None:
    """Keep this process and its children from connecting to abstract unix sockets of processes outside.

    :raises SyscallError: the kernel's Landlock is older than ABI 6, or off
    """
    _restrict_scope(SCOPE_ABSTRACT_UNIX_SOCKET)


def build_wall(rules: Iterable[tuple[bytes, int]], queues: int | None) -> None:
    """Confine this process and its children, in a root of its own, to what that root shows, and to some writable paths.

    A mount that is read-only keeps nobody from writing to a FIFO or making a socket file; this does. It does nothing on
    a kernel whose Landlock is older than ABI 2, or off: it is the second wall.

    :param rules: WRITE, DEVICE and SOCKETS for what is more than readable
    :param queues: a descriptor of the root of the message queues, which we close; without it there are none
    """
    try:
        abi = syscalls.landlock_abi()
    except syscalls.SyscallError:
        return
    if abi < MINIMUM_ABI:
        return
    handled = (1 << _KNOWN.get(abi, _ALL_KNOWN)) - 1
    ruleset = syscalls.landlock_ruleset(handled, 0, 0)
    # A file keeps all its rights when it is renamed into another directory of the same mount, so REFER gives nothing.
    for path, access in ((b"/", _READ | _REFER), *((path, _wall_access(kind)) for path, kind in rules)):
        fd = syscalls.open_path(path)
        try:
            directory = stat.S_ISDIR(os.fstat(fd).st_mode)
            access &= handled
            syscalls.landlock_allow(ruleset, fd, access if directory else access & _FILE, path=path)
        finally:
            os.close(fd)
    if queues is not None:
        syscalls.landlock_allow(ruleset, queues, handled & ~_MAKE_SOCK, path=b"mqueue")
        os.close(queues)
    for fd in range(3):
        _allow_reopening(ruleset, fd, handled)
    syscalls.landlock_restrict(ruleset)


def _allow_reopening(ruleset: int, fd: int, handled: int) -> None:
    """Let /dev/stdin and the like open what the process has there: a terminal or a file outside of the root."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        return
    readable, writable = _READ_FILE, _WRITE_FILE | _TRUNCATE
    access = (readable, writable, readable | writable)[fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE]
    access |= _IOCTL_DEV if stat.S_ISCHR(mode) else 0
    try:
        syscalls.landlock_allow(ruleset, fd, access & handled, path=b"/dev/fd/%d" % fd)
    except syscalls.SyscallError as error:
        if error.errno != EBADFD:  # a pipe, which Landlock does not restrict
            raise


def rules_of(operations: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[bytes, int]]:
    """Yield the rules of :func:`build_wall` for the operations of a plan, as they come to the child."""
    yield b"/dev", DEVICE  # every device of a plan is beneath it
    for kind, values in operations:
        if kind == "Scratch":
            yield from ((path, SOCKETS if path == OF_SOCKETS else WRITE) for path, _ in values["targets"])
        elif kind in ("Bind", "Overlay") and values["writable"]:
            yield values["target"], WRITE


def _wall_access(kind: int) -> int:
    if kind == SOCKETS:
        return _MAKE_SOCK | _REMOVE_FILE
    return ~_MAKE_SOCK if kind == WRITE else _READ | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV


def scope_signals() -> bool:
    """Let this process and its descendants signal only each other. Return whether this kernel can do that.

    Without a PID namespace, this lets kill(2) with pid -1 end the hook, and nothing else, in one step. The process
    needs either no_new_privs or CAP_SYS_ADMIN.
    """
    try:
        if syscalls.landlock_abi() < _SCOPES:
            return False
        _restrict_scope(SCOPE_SIGNAL)
    except syscalls.SyscallError:
        return False
    return True


def _restrict_scope(scope: int) -> None:
    """Restrict only a scope.

    A ruleset without a rule for REFER refuses it, even if the ruleset handles no other access to files, landlock(7). So
    we allow it everywhere.
    """
    ruleset = syscalls.landlock_ruleset(_REFER, 0, scope)
    root = syscalls.open_path(b"/")
    try:
        syscalls.landlock_allow(ruleset, root, _REFER, path=b"/")
    finally:
        os.close(root)
    syscalls.landlock_restrict(ruleset)


class Confined:
    """What a ruleset confines besides opening files.

    :ivar signals: the ruleset confines signals and abstract sockets, since ABI 6
    :ivar truncation: it confines truncate(2), since ABI 3
    """

    def __init__(self, abi: int) -> None:
        self.signals = abi >= _SCOPES
        self.truncation = abi >= _TRUNCATES


def confine(rules: Iterable[tuple[bytes, int]], *, network: bool) -> Confined:
    """Confine this process and its children to some paths, and to their own signals and abstract sockets.

    :param rules: paths without links, each with LIST, READ, WRITE or DEVICE
    :param network: do not confine TCP
    :return: the other things that the ruleset confines, which depend on the kernel
    :raises SyscallError: the kernel's Landlock is older than ABI 2, or off
    """
    abi = syscalls.landlock_abi()
    if abi < MINIMUM_ABI:
        raise syscalls.SyscallError(95, "landlock_create_ruleset")
    handled = (1 << _KNOWN.get(abi, _ALL_KNOWN)) - 1
    # LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP: no rule allows either.
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
            return  # something beside a private file of the system, deleted since the planner looked
        raise
    try:
        directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        access = (_READ_DIR, _READ, handled, _READ_FILE | _WRITE_FILE | _IOCTL_DEV)[kind] & handled
        syscalls.landlock_allow(ruleset, fd, access if directory else access & _FILE, path=path)
    finally:
        os.close(fd)
