"""The mount namespace in which bubblewrap sets up: nothing of the host can be written to there.

Before 0.12, bubblewrap follows links below its new root while it makes files and directories to mount on
(CVE-2026-87766). Its new root shows trees in which others can put a link at any moment, and the old root lies beside
it. So we let it work where the old root is read-only as a whole: it gets each source as a mount of our own, opened by
descriptor and without following links, and only what the hook may write to anyway can be written to there. The kernel
locks these read-only mounts in the user namespace that bubblewrap makes, mount_namespaces(7).
"""

from __future__ import annotations

import os
import stat

from . import mounts, namespaces, syscalls
from .operations import Bind, Cover

if False:
    from collections.abc import Sequence

    from .operations import Operation

#: In the place of a system call where hooks are refused for want of this mount namespace.
CVE = "CVE-2026-87766"
#: The reason of a degraded protection where bubblewrap has to work without this mount namespace.
UNGUARDED = (
    "this bubblewrap is older than 0.12 and follows links while it sets up (CVE-2026-87766), and this host lets only "
    "bubblewrap make user namespaces: whoever changes the source tree at that moment can make it create an empty file "
    "or directory outside"
)
_RESTRICTION = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"


def enter_user_namespace() -> bool:
    """Enter a user and a mount namespace in which this process keeps its ids. Return whether the host allows that."""
    try:
        if _is_restricted():
            return False
        _enter()
    except syscalls.SyscallError as error:
        if error.syscall != "unshare":
            raise
        return False
    return True


def _enter() -> None:
    uid, gid = os.geteuid(), os.getegid()
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    namespaces.write_proc(b"/proc/self/setgroups", b"deny")
    namespaces.write_proc(b"/proc/self/uid_map", b"%d %d 1" % (uid, uid))
    namespaces.write_proc(b"/proc/self/gid_map", b"%d %d 1" % (gid, gid))


def _is_restricted() -> bool:
    """Return whether AppArmor refuses mounts in our namespace. There, unshare(2) succeeds, so a child tries it."""
    try:
        with open(_RESTRICTION, "rb") as file:
            if file.read().strip() != b"1":
                return False
    except OSError:
        return False
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _enter()
            syscalls.make_private()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] != 0


def provide_sources(operations: Sequence[Operation], spaces: dict[bytes, int]) -> dict[bytes, bytes | int]:
    """Mount the source of every bind, read-only or idmapped as needed, where bwrap can reach it without privileges.

    This process needs a mount namespace of its own. All other mounts there become read-only, except for /proc: bwrap
    writes its maps there, and cannot mount a fresh one if the old one is read-only.

    :param spaces: the user namespaces that map the caller's files and the tree's, or 0
    :return: the path of each source, by target
    """
    syscalls.make_private()
    trees = mounts.open_trees(operations, spaces)
    directory = mounts.reachable_directory()
    _make_read_only()
    syscalls.mount(b"trees", directory, b"tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=755,nr_inodes=16384")
    sources: dict[bytes, bytes | int] = {}
    for number, (target, tree) in enumerate(trees.items()):
        sources[target] = path = b"%b/%d" % (directory, number)
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        _attach(tree, path, target)
    return sources


def _make_read_only() -> None:
    proc = syscalls.clone_tree(b"/proc")
    root = syscalls.open_path(b"/")
    syscalls.mount_setattr(root, syscalls.MOUNT_ATTR_RDONLY, recursive=True, path=b"/")
    os.close(root)
    _attach(proc, b"/proc", b"/proc")


def _attach(tree: int, path: bytes, target: bytes) -> None:
    mount_point = syscalls.open_path(path)
    syscalls.move_mount(tree, mount_point, path=target)
    os.close(mount_point)
    os.close(tree)


def mounts_in_trees(operations: Sequence[Operation]) -> bool:
    """Return whether a plan mounts anything where others can change the path: beneath what the hook may write to."""
    binds = [operation for operation in operations if isinstance(operation, Bind)]
    trees = tuple(os.path.join(bind.at, b"") for bind in binds if bind.writable)
    return any(bind.at.startswith(trees) for bind in binds)


def opened(operations: Sequence[Operation]) -> dict[bytes, bytes | int]:
    """Open the source of every bind that is no device, without following a link. Return the descriptors by target."""
    binds = [o for o in operations if isinstance(o, Bind) and not isinstance(o, Cover) and not o.device]
    return {bind.at: syscalls.open_path(os.fsencode(bind.source)) for bind in binds}
