"""The namespaces of a sandbox and the id maps of its user namespace, user_namespaces(7)."""

from __future__ import annotations

import os

from . import syscalls
from .forking import fork

if False:
    from collections.abc import Iterator

ALL = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWCGROUP
)

# Far less than a user has by default, 128 and at least 8192, and far more than a build needs.
_WATCHES = {b"max_inotify_instances": 16, b"max_inotify_watches": 4096}


def enter(*, network: bool, uid_map: bytes, gid_map: bytes, by_parent: bool) -> None:
    """Move this process into new namespaces with a single call, and write the id maps of its user namespace.

    :param network: keep the caller's network
    :param uid_map, gid_map: the lines to write
    :param by_parent: the maps contain more than this process's own ids, so a process in the old user namespace has to
        write them
    """
    flags = ALL | (0 if network else syscalls.CLONE_NEWNET)
    if by_parent:
        with _MapWriter(uid_map, gid_map) as writer:
            syscalls.unshare(flags)
            writer.write()
        return
    # After a change of ids the process is not dumpable, so root owns its files in /proc and it could not open the maps.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
    syscalls.unshare(flags)
    # An unprivileged process may map its gid only after it has given up setgroups(2).
    write_proc(b"/proc/self/setgroups", b"deny")
    write_proc(b"/proc/self/uid_map", uid_map)
    write_proc(b"/proc/self/gid_map", gid_map)


def bound_watches() -> bool:
    """Limit what inotify(7) gives in this user namespace, proc_sys_user(5). Return whether the host lets us.

    The instances and watches of a user namespace count for the user that made it as well.
    """
    try:
        for name, most in _WATCHES.items():
            write_proc(b"/proc/sys/user/" + name, b"%d" % most)
    except syscalls.SyscallError:
        return False  # /proc/sys is read-only, as in containers
    return True


def loopback_up() -> None:
    """Bring up ``lo`` in our own network namespace, because test suites and MPI need it.

    Its addresses reach nothing outside, network_namespaces(7).
    """
    syscalls.socket_up(b"lo")


def write_proc(path: bytes, text: bytes) -> None:
    """Write a file of /proc with a single call. A file object would report the error only when we close it."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text)
        finally:
            os.close(fd)
    except OSError as error:
        raise syscalls.SyscallError(error.errno or 0, "write", path) from error


def mapped(map_path: str) -> Iterator[tuple[int, int]]:
    """Yield (first id, count) of each extent of this process's own map, such as ``/proc/self/uid_map``."""
    with open(map_path, encoding="ascii") as file:
        for line in file:
            first, _, count = line.split()
            yield int(first), int(count)


def mirror(map_path: str) -> bytes:
    """Return a map that gives a child namespace the same ids as ours. An extent may not span two of the parent's."""
    return b"".join(b"%d %d %d\n" % (first, first, count) for first, count in mapped(map_path))


class _MapWriter:
    """A child that stays in the old user namespace, keeps its privileges there, and writes its parent's maps."""

    def __init__(self, uid_map: bytes, gid_map: bytes) -> None:
        self.maps = {b"uid_map": uid_map, b"gid_map": gid_map}

    def __enter__(self) -> _MapWriter:
        read, self.go = os.pipe()
        target = os.readlink(b"/proc/self")  # not our pid, if /proc belongs to a PID namespace above ours
        self.pid = fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self.go)
                if os.read(read, 1):
                    for name, text in self.maps.items():
                        write_proc(b"/proc/%b/%b" % (target, name), text)
                status = 0
            except OSError as error:
                status = error.errno or 1
            finally:
                os._exit(status)
        os.close(read)
        return self

    def write(self) -> None:
        """Tell the child to write the maps, now that this process is in its new namespace, and wait for it."""
        os.write(self.go, b"x")
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        if status:
            raise syscalls.SyscallError(os.waitstatus_to_exitcode(status) % 256, "write", b"uid_map")

    def __exit__(self, *_: object) -> None:
        os.close(self.go)
        if self.pid:
            os.waitpid(self.pid, 0)


class UserNamespace:
    """A user namespace without processes, whose id map serves an idmapped mount.

    The map says which id on disk appears as which id in the mount, mount_setattr(2) with MOUNT_ATTR_IDMAP.

    :ivar fd: a descriptor of the user namespace
    """

    def __init__(self, uid_map: bytes, gid_map: bytes) -> None:
        ready_read, ready = os.pipe()
        done, done_write = os.pipe()
        pid = fork()
        if pid == 0:
            try:
                syscalls.unshare(syscalls.CLONE_NEWUSER)
                os.write(ready, os.readlink(b"/proc/self"))
                os.close(done_write)
                os.read(done, 1)
            finally:
                os._exit(0)
        os.close(ready)
        os.close(done)
        try:
            number = os.read(ready_read, 16)
            if not number:
                raise syscalls.SyscallError(1, "unshare")
            write_proc(b"/proc/%b/uid_map" % number, uid_map)
            write_proc(b"/proc/%b/gid_map" % number, gid_map)
            self.fd = os.open(b"/proc/%b/ns/user" % number, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(ready_read)
            os.close(done_write)
            os.waitpid(pid, 0)
