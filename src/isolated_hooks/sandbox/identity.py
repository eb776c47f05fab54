"""The hook's user: the caller's own user, the only mapped one, or a throw-away uid if the caller is root.

A process with kuid 0 can write /proc/sys/kernel/core_pattern without any capability, and so take over the host. So
root's hooks run under a uid that nothing else has. We reserve the uid by a lock, see :mod:`.uidlock`, which the kernel
releases with the last process that holds it. Other containers, and systemd's dynamic users, know nothing of our locks,
so we also skip the uids of all visible processes.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing signal imports enum: ten milliseconds
import os
from errno import EPERM

from . import mounts, namespaces, privileges, syscalls
from .forking import fork

if False:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .operations import Operation

FIRST_UID = 61184  # systemd's range for DynamicUser, in which no account has a uid
LAST_UID = 65519
SANDBOX_UID = 1000  # the hook's uid as the sandbox sees it, if only one id is mapped
# Each throw-away uid has a block of 65536 ids, in a range that nobody uses according to systemd's UIDS-GIDS.md.
RANGE_BASE = 0x70000000
RANGE_SIZE = 65536


def main(arguments: list[str]) -> int:
    """End every process of a throw-away uid: ``UID``."""
    end_all(int(arguments[0]))
    return 0


class NoUidLeftError(privileges.ShortageError):
    """No throw-away uid can be reserved."""


def take_uid() -> tuple[int, int]:
    """Return a uid that nobody has, and the descriptor of its lock. Keep that open while a process runs under the uid.

    :raises NoUidLeftError: all of them are in use, or this host has no place for locks
    """
    from . import uidlock  # only here: each import costs every hook

    try:
        locks = uidlock.open_locks()
    except OSError as error:
        places = os.fsdecode(b", ".join(uidlock.PLACES))
        raise NoUidLeftError(
            f"no throw-away uid can be locked (expected a file of this user's own in one of {places}, got "
            f"{os.fsdecode(error.filename)}: {error.strerror}): make one of these directories writable"
        ) from error
    count = LAST_UID - FIRST_UID + 1
    start = int.from_bytes(os.urandom(4), "little") % count
    in_use = _uids_in_use()
    for offset in range(count):
        uid = FIRST_UID + (start + offset) % count
        if not in_use(uid) and not in_use(range_base(uid)) and uidlock.take(locks, uid):
            return uid, locks
    os.close(locks)
    raise NoUidLeftError(
        f"no throw-away uid is left (expected a free one from {FIRST_UID} to {LAST_UID}, got {count} that are in use): "
        "run fewer hooks at once, and look for processes that run under these uids"
    )


def range_base(uid: int) -> int:
    """Return the first id of the block that belongs to a throw-away uid."""
    return RANGE_BASE + (uid - FIRST_UID) * RANGE_SIZE


def range_map(uid: int) -> bytes:
    """Return the id map of a user namespace for that block, in which the caller's files look like the sandbox's own.

    The idmapped mount shows id N on disk as BASE+N. The hook is BASE+0, so root owns its new files on disk. It sees
    itself as :data:`SANDBOX_UID`: the map swaps these two ids, and every other id keeps its number.
    """
    base = range_base(uid)
    own = SANDBOX_UID
    above = own + 1
    lines = ((0, base + own, 1), (1, base + 1, own - 1), (own, base, 1), (above, base + above, RANGE_SIZE - above))
    return b"".join(b"%d %d %d\n" % line for line in lines)


def _uids_in_use() -> Callable[[int], bool]:
    """Return what tells whether a visible process runs under a uid.

    getpriority(2) tells it at once, for the processes of our PID namespace and of those below it. /proc shows the same
    ones, unless it belongs to a namespace above, as in a container with the host's /proc. Only then do we walk it.
    """
    try:
        os.getpriority(os.PRIO_USER, 0)
        if os.readlink("/proc/self") == str(os.getpid()):
            return _has_processes
    except OSError:
        pass  # a filter refuses the call, or there is no /proc
    return _uids_in_proc().__contains__


def _has_processes(uid: int) -> bool:
    try:
        os.getpriority(os.PRIO_USER, uid - (uid >> 31 << 32))  # it takes an int, and the kernel reads it as a uid_t
    except ProcessLookupError:
        return False
    return True


def _uids_in_proc() -> set[int]:
    used = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                used.add(os.stat(f"/proc/{name}").st_uid)
            except OSError:
                continue  # the process has just ended
    return used


def become(uid: int, gid: int, *, effective: int | None = None) -> None:
    """Change every user and group id of this process and drop its supplementary groups.

    :param effective: the effective uid, if it differs from ``uid``
    """
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid if effective is None else effective, uid)
    except OSError as error:
        raise syscalls.SyscallError(error.errno or 0, "setresuid") from error


def end_all(uid: int) -> None:
    """Kill every process that runs under a throw-away uid, in one step that no fork can outrun, kill(2) of -1.

    A process with that effective uid does it, because it reaches no other process, and root may lack CAP_KILL. Its real
    and its saved uid belong to nobody: the hook could signal it otherwise, and stop it, credentials(7).
    """
    pid = fork()
    if pid == 0:
        try:
            _become_unreachable(uid)
            os.kill(-1, _signal.SIGKILL)
        except ProcessLookupError:
            pass  # no such process exists
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def _become_unreachable(uid: int) -> None:
    """Take a uid as the effective one only, so that processes under it cannot signal us.

    The real uid is an id of the block that belongs to the uid or, if that is not mapped, another throw-away uid. If all
    of these are in use, the hook can signal us, and we can only try to be faster.
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
    """An identity that the launcher has taken.

    :ivar uid: the uid of the hook, as the sandbox sees it
    :ivar gid: its gid
    :ivar trees: the detached mount trees that the launcher has opened as the caller, by target
    :ivar mapped: the user namespace has an id map
    :ivar watches: the hook cannot take all of the caller's instances of inotify(7)
    """

    def __init__(
        self, uid: int, trees: dict[bytes, int], *, gid: int | None = None, mapped: bool = True, watches: bool = True
    ) -> None:
        self.uid = uid
        self.gid = uid if gid is None else gid
        self.trees = trees
        self.mapped = mapped
        self.watches = watches


# The caller needs these to take over the hook's files from the throw-away uid, even in directories of mode 0700.
_TO_GIVE_BACK = (privileges.CAP_CHOWN, privileges.CAP_DAC_OVERRIDE)


def _enter_as_user(plan: dict[str, Any], _operations: Sequence[Operation], uid: int) -> Entered:
    """Map only the caller's own user, by the numbers that it has outside: archives and git's index hold them."""
    gid = os.getegid()
    _map_one(plan, uid, gid, inside=(uid, gid))
    return Entered(uid, {}, gid=gid, watches=namespaces.bound_watches())


def _enter_single(plan: dict[str, Any], operations: Sequence[Operation], uid: int) -> Entered:
    """One owner: idmapped mounts show its files as the throw-away uid's, and we map only that uid."""
    trees = mounts.open_trees(operations, single_spaces(plan, uid))
    become(uid, uid)
    _map_one(plan, uid, uid)
    return Entered(SANDBOX_UID, trees)


def single_spaces(plan: dict[str, Any], uid: int) -> dict[bytes, int]:
    """Return user namespaces for idmapped mounts that show the caller's and the tree's files as the hook's."""

    owners = {b"caller": (os.geteuid(), os.getegid()), b"tree": tuple(plan["owner"])}
    # Each costs a fork, and mostly both are the same.
    spaces = {owner: _space_of(owner, uid) for owner in dict.fromkeys(owners.values())}
    return {name: spaces[owner] for name, owner in owners.items()}


def _space_of(owner: tuple[int, int], uid: int) -> int:
    return namespaces.UserNamespace(b"%d %d 1" % (owner[0], uid), b"%d %d 1" % (owner[1], uid)).fd


def _map_one(plan: dict[str, Any], uid: int, gid: int, *, inside: tuple[int, int] = (SANDBOX_UID, SANDBOX_UID)) -> None:
    maps = b"%d %d 1" % (inside[0], uid), b"%d %d 1" % (inside[1], gid)
    namespaces.enter(network=plan["network"], uid_map=maps[0], gid_map=maps[1], by_parent=False)


def _enter_range(plan: dict[str, Any], operations: Sequence[Operation], uid: int) -> Entered:
    """Many owners: a block of ids for this hook, and two capabilities that reach only inodes shown in that block."""
    line = b"0 %d %d" % (range_base(uid), RANGE_SIZE)
    space = namespaces.UserNamespace(line, line).fd
    trees = mounts.open_trees(operations, {b"caller": space, b"tree": space})
    lines = range_map(uid)
    namespaces.enter(network=plan["network"], uid_map=lines, gid_map=lines, by_parent=True)
    watches = namespaces.bound_watches()
    privileges.keep_capabilities_over_setuid()
    become(SANDBOX_UID, SANDBOX_UID)
    return Entered(SANDBOX_UID, trees, watches=watches)


def _enter_mirror(plan: dict[str, Any], _operations: Sequence[Operation], uid: int) -> Entered:
    """No idmapped mounts: a copy of the caller's own map, and two capabilities, for which the view is read-only."""
    privileges.require(*_TO_GIVE_BACK)
    maps = namespaces.mirror("/proc/self/uid_map"), namespaces.mirror("/proc/self/gid_map")
    namespaces.enter(network=plan["network"], uid_map=maps[0], gid_map=maps[1], by_parent=True)
    watches = namespaces.bound_watches()
    privileges.keep_capabilities_over_setuid()
    become(uid, uid)
    return Entered(uid, {}, watches=watches)


def _enter_shared(plan: dict[str, Any], _operations: Sequence[Operation], uid: int) -> Entered:
    """Root that may not become another user: its own uid, mapped to another number if the host allows that."""
    try:
        _map_one(plan, uid, os.getegid())
    except syscalls.SyscallError as error:
        # To map uid 0 of the parent, we need CAP_SETFCAP there, user_namespaces(7). Without a map, everything goes on
        # under the overflow uid.
        if error.syscall != "write" or error.errno != EPERM:
            raise
        return Entered(os.getuid(), {}, mapped=False, watches=namespaces.bound_watches())
    return Entered(SANDBOX_UID, {}, watches=namespaces.bound_watches())


def _enter_separate(_plan: dict[str, Any], _operations: Sequence[Operation], uid: int) -> Entered:
    """No namespaces, root: pid 1 takes the uid, and this process stays root, out of the hook's reach."""
    # CAP_KILL, because the supervisor ends the hook. CAP_SETPCAP, because access(2) counts the hook's capability only
    # with certain securebits: without it, the hook would think that it cannot write to the tree.
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
