"""Who the hook is: the one mapped user of an ordinary caller, or a throw-away uid where the caller is root.

A process of kuid 0 can write /proc/sys/kernel/core_pattern without any capability and so own the host, so root's
hooks run as a uid that nothing else has. It is taken by binding an abstract unix socket, which the kernel releases
with the last process that holds it: no file, no account, no trace. Abstract names are one set per network namespace, so
a uid that any visible process runs under is passed over as well.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum: ten milliseconds
import _socket
import os
from errno import EADDRINUSE, EPERM

from . import mounts, namespaces, privileges, syscalls

if False:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .operations import Operation

FIRST_UID = 61184  # systemd's range for DynamicUser: no account has one of these
LAST_UID = 65519
SANDBOX_UID = 1000  # what the hook sees where only one id is mapped
# A block of 65536 ids for each throw-away uid, in the range that systemd's UIDS-GIDS.md lists as used by nobody.
RANGE_BASE = 0x70000000
RANGE_SIZE = 65536


def main(arguments: list[str]) -> int:
    """End every process of a throw-away uid: ``UID``."""
    end_all(int(arguments[0]))
    return 0


class NoUidLeftError(Exception):
    """Every throw-away uid is taken."""


def take_uid() -> tuple[int, _socket.socket]:
    """Return a uid that nobody has, and the lock that keeps it: keep it open as long as any process runs under it."""
    count = LAST_UID - FIRST_UID + 1
    start = int.from_bytes(os.urandom(4), "little") % count
    used = _uids_in_use()
    for offset in range(count):
        uid = FIRST_UID + (start + offset) % count
        if uid in used or range_base(uid) in used:
            continue
        lock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            lock.bind(b"\0isolated-hooks/uid/%d" % uid)
        except OSError as error:
            lock.close()
            if error.errno != EADDRINUSE:
                raise
        else:
            return uid, lock
    raise NoUidLeftError


def range_base(uid: int) -> int:
    """Return the first of the block of ids that belongs to a throw-away uid."""
    return RANGE_BASE + (uid - FIRST_UID) * RANGE_SIZE


def range_map(uid: int) -> bytes:
    """Return the map of a user namespace of that block, in which the caller's files show as the sandbox's own.

    The idmapped mount shows id N on disk as BASE+N. The hook is BASE+0, so what it makes is root's on disk, and it sees
    itself as :data:`SANDBOX_UID`: the two change places, every other id keeps its number.
    """
    base = range_base(uid)
    me = SANDBOX_UID
    lines = ((0, base + me, 1), (1, base + 1, me - 1), (me, base, 1), (me + 1, base + me + 1, RANGE_SIZE - me - 1))
    return b"".join(b"%d %d %d\n" % line for line in lines)


def _uids_in_use() -> set[int]:
    used = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                used.add(os.stat(f"/proc/{name}").st_uid)
            except OSError:
                continue  # it has just ended
    return used


def become(uid: int, gid: int, *, effective: int | None = None) -> None:
    """Change every user and group id of this process and drop its supplementary groups.

    :param effective: the effective uid, where it is to be another one
    """
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid if effective is None else effective, uid)
    except OSError as error:
        raise syscalls.SyscallError(error.errno or 0, "setresuid") from error


def end_all(uid: int) -> None:
    """Kill every process that runs under a throw-away uid, in one step that no fork can outrun, kill(2) of -1.

    By a process of that effective uid: it reaches no other one, and root itself may lack CAP_KILL. Whom a signal may
    reach is up to the real and the saved uid, credentials(7), and those are of nobody: a hook could stop it otherwise.
    """
    pid = os.fork()
    if pid == 0:
        try:
            _become_unreachable(uid)
            os.kill(-1, _signal.SIGKILL)
        except ProcessLookupError:
            pass  # there is none
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def _become_unreachable(uid: int) -> None:
    """Have a uid in effect, and really be nobody: an id of the block that comes with it or, if none is mapped, another.

    A hook may have taken the name of every other one; then this process can only be as quick as it is.
    """
    try:
        become(range_base(uid), range_base(uid), effective=uid)
    except syscalls.SyscallError:
        try:
            other, _lock = take_uid()
        except NoUidLeftError:
            other = uid
        become(other, other, effective=uid)


class Entered:
    """What came of taking on an identity.

    :ivar uid: who the hook is, user and group alike, as the sandbox sees it
    :ivar trees: mount trees that were opened before, by target
    :ivar mapped: the user namespace has a map
    """

    def __init__(self, uid: int, trees: dict[bytes, int], *, mapped: bool = True) -> None:
        self.uid = uid
        self.trees = trees
        self.mapped = mapped


# What the hook leaves under a throw-away uid has to become the caller's, also in directories that are closed to others.
_TO_GIVE_BACK = (privileges.CAP_CHOWN, privileges.CAP_DAC_OVERRIDE)


def _enter_as_user(plan: dict[str, Any], _operations: Sequence[Operation], uid: int) -> Entered:
    """Map the caller's own user, and no other."""
    _map_one(plan, uid, os.getegid())
    return Entered(SANDBOX_UID, {})


def _enter_single(plan: dict[str, Any], operations: Sequence[Operation], uid: int) -> Entered:
    """One owner: idmapped mounts show its files as the throw-away uid's, and that is the one uid that is mapped."""
    trees = mounts.open_trees(operations, single_spaces(plan, uid))
    become(uid, uid)
    _map_one(plan, uid, uid)
    return Entered(SANDBOX_UID, trees)


def single_spaces(plan: dict[str, Any], uid: int) -> dict[bytes, int]:
    """Return the user namespaces by which the caller's files, and those of the tree, show as a throw-away uid's."""

    def namespace(owner: tuple[int, int]) -> int:
        return namespaces.UserNamespace(b"%d %d 1" % (owner[0], uid), b"%d %d 1" % (owner[1], uid)).fd

    return {b"caller": namespace((os.geteuid(), os.getegid())), b"tree": namespace(plan["owner"])}


def _map_one(plan: dict[str, Any], uid: int, gid: int) -> None:
    own = SANDBOX_UID
    maps = b"%d %d 1" % (own, uid), b"%d %d 1" % (own, gid)
    namespaces.enter(network=plan["network"], uid_map=maps[0], gid_map=maps[1], by_parent=False)


def _enter_range(plan: dict[str, Any], operations: Sequence[Operation], uid: int) -> Entered:
    """Many owners: a block of ids of its own, and two capabilities that reach only inodes shown in that block."""
    line = b"0 %d %d" % (range_base(uid), RANGE_SIZE)
    space = namespaces.UserNamespace(line, line).fd
    trees = mounts.open_trees(operations, {b"caller": space, b"tree": space})
    lines = range_map(uid)
    namespaces.enter(network=plan["network"], uid_map=lines, gid_map=lines, by_parent=True)
    privileges.keep_capabilities_over_setuid()
    become(SANDBOX_UID, SANDBOX_UID)
    return Entered(SANDBOX_UID, trees)


def _enter_mirror(plan: dict[str, Any], _operations: Sequence[Operation], uid: int) -> Entered:
    """No idmapped mounts: the caller's own map again, and two capabilities over what the read-only view shows."""
    privileges.require(*_TO_GIVE_BACK)
    maps = namespaces.mirror("/proc/self/uid_map"), namespaces.mirror("/proc/self/gid_map")
    namespaces.enter(network=plan["network"], uid_map=maps[0], gid_map=maps[1], by_parent=True)
    privileges.keep_capabilities_over_setuid()
    become(uid, uid)
    return Entered(uid, {})


def _enter_shared(plan: dict[str, Any], _operations: Sequence[Operation], uid: int) -> Entered:
    """Root that may not become anybody else: its own uid, mapped to another number where the host lets us."""
    try:
        _map_one(plan, uid, os.getegid())
    except syscalls.SyscallError as error:
        # Mapping uid 0 of the parent needs CAP_SETFCAP there, user_namespaces(7). Without a map all goes on under the
        # overflow uid.
        if error.syscall != "write" or error.errno != EPERM:
            raise
        return Entered(os.getuid(), {}, mapped=False)
    return Entered(SANDBOX_UID, {})


def _enter_separate(_plan: dict[str, Any], _operations: Sequence[Operation], uid: int) -> Entered:
    """No namespaces, root: pid 1 takes on the uid, and this process stays root, out of the hook's reach."""
    # The supervisor ends what it watches. And without CAP_SETPCAP there are no securebits with which access(2) counts
    # the capability of the hook, so it would take nothing of the tree for writable.
    privileges.require(*_TO_GIVE_BACK, privileges.CAP_KILL, privileges.CAP_SETPCAP)
    return Entered(uid, {}, mapped=False)


def _enter_nothing(_plan: dict[str, Any], _operations: Sequence[Operation], uid: int) -> Entered:
    """No namespaces: Landlock and seccomp confine the caller's own user."""
    return Entered(uid, {}, mapped=False)


ENTER: dict[bytes, Callable[[dict[str, Any], Sequence[Operation], int], Entered]] = {
    b"user": _enter_as_user,
    b"single": _enter_single,
    b"range": _enter_range,
    b"mirror": _enter_mirror,
    b"shared": _enter_shared,
    b"separate": _enter_separate,
    b"confined": _enter_nothing,
}
