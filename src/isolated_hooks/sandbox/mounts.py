"""The mounts of this process, and the new root: we mount it empty, fill it by operations, seal it and enter it."""

from __future__ import annotations

import os
import stat
from errno import EACCES, ENOSYS, EPERM

from . import syscalls

if False:
    from collections.abc import Iterator, Sequence

    from .operations import Bind, Operation
    from .root import Root

# Directories to mount the root at if this process cannot reach the workspace. Only the new namespace sees that mount.
_DIRECTORIES = (b"/mnt", b"/srv", b"/media", b"/tmp", b"/var/tmp", b"/run")


class OperationError(Exception):
    """An operation failed.

    :ivar operation: the operation; the cause of the exception is its ``OSError``
    """

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.operation = operation


class Mount:
    """One line of proc_pid_mountinfo(5).

    :ivar mount_point: its path
    :ivar root: the directory of its filesystem that it shows
    :ivar options: the options of this mount, such as ``ro``
    :ivar kind: the type of its filesystem, such as ``tmpfs``
    :ivar settings: the options of its filesystem, the same for all mounts that show it
    """

    def __init__(self, line: bytes) -> None:
        # A few optional fields, a separator, and three more fields.
        fields, _, filesystem = line.rstrip(b"\n").partition(b" - ")
        _, _, self._device, root, mount_point, options, *_ = fields.split(b" ")
        self.mount_point = _unescaped(mount_point)
        self.root = _unescaped(root)
        self.options = options.split(b",")
        self.kind, _, source_and_settings = filesystem.partition(b" ")
        self.settings = source_and_settings.rpartition(b" ")[2].split(b",")

    @property
    def device(self) -> int:
        """The number of its filesystem, as in ``st_dev`` of stat(2)."""
        major, _, minor = self._device.partition(b":")
        return os.makedev(int(major), int(minor))


def _unescaped(field: bytes) -> bytes:
    first, *escaped = field.split(b"\\")
    return first + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in escaped)


def mounted() -> Iterator[Mount]:
    """Yield every mount that this process sees. If two have the same path, the upper one comes later."""
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            yield Mount(line)


def mounted_beneath(paths: Sequence[bytes]) -> Iterator[Mount]:
    """Yield the mounts at some real paths and beneath them, and look at no other: a host may have thousands."""
    starts = [b" " + _escaped(path.rstrip(b"/")) for path in paths]
    with open("/proc/self/mountinfo", "rb") as file:
        text = file.read()
    starts = [start for start in starts if start + b"/" in text or start + b" " in text]
    for line in text.split(b"\n") if starts else ():
        if any(start in line for start in starts):
            mount = Mount(line)
            if any(_is_within(mount.mount_point, path) for path in paths):
                yield mount


def _is_within(path: bytes, directory: bytes) -> bool:
    return (path.rstrip(b"/") + b"/").startswith(directory.rstrip(b"/") + b"/")


def _escaped(path: bytes) -> bytes:
    """Return a path as proc_pid_mountinfo(5) writes it."""
    for special in b"\\ \t\n":
        path = path.replace(b"%c" % special, b"\\%03o" % special)
    return path


def open_trees(operations: Sequence[Operation], namespaces: dict[bytes, int]) -> dict[bytes, int]:
    """Return a detached tree of every bind, by target. Trees with an owner are idmapped.

    This needs the caller's privileges, over the filesystems and over directories such as a home of mode 0700, so do it
    before the change of identity.

    :param namespaces: the user namespace to map the files of each owner with
    :raises OperationError: we cannot open or idmap a tree
    """
    trees = {}
    for operation in operations:
        for bind in operation.opened():
            try:
                trees[bind.at] = _open_tree(bind, namespaces)
            except OSError as error:
                raise OperationError(operation) from error
    return trees


def _open_tree(operation: Bind, namespaces: dict[bytes, int]) -> int:
    source = os.fsencode(operation.source)
    tree = syscalls.clone_tree(source)
    userns = namespaces[os.fsencode(operation.owned)] if operation.owned else 0
    attributes = operation.attributes() | (syscalls.MOUNT_ATTR_IDMAP if userns else 0)
    syscalls.mount_setattr(tree, attributes, recursive=True, userns=userns, path=source)
    return tree


def reachable_directory() -> bytes:
    """Return a directory that every user can reach, to mount over in a new mount namespace.

    :raises SyscallError: this host has none
    """
    for path in _DIRECTORIES:
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and mode & stat.S_IXOTH:
            return path
    raise syscalls.SyscallError(2, "stat", _DIRECTORIES[0])


def mount_root(path: bytes, *, on_disk: bool) -> None:
    """Mount an empty new root at ``path``.

    This is the first mount, so a host that refuses mounts in namespaces altogether refuses it here.

    :param on_disk: show the directory ``path`` itself, because the user namespace has no id map
    """
    syscalls.make_private()
    if not on_disk:
        syscalls.mount(b"root", path, b"tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=755,nr_inodes=16384")
        return
    # If the user namespace has no map, we cannot create files on its tmpfs (EOVERFLOW), but we can in the workspace.
    tree = syscalls.clone_tree(path)
    syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV, recursive=True, path=path)
    target = syscalls.open_path(path)
    syscalls.move_mount(tree, target, path=path)
    os.close(tree)
    os.close(target)


def build_root(root: Root, operations: Sequence[Operation]) -> None:
    """Execute the operations beneath a new root, make the root read-only, and make it the only one.

    :raises OperationError: an operation failed
    """
    for operation in operations:
        try:
            operation.execute(root)
        except OSError as error:
            raise OperationError(operation) from error
    # Only the root mount becomes read-only. The scratch directories beneath it stay writable.
    syscalls.mount_setattr(root.fd, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=root.path)
    root.close()
    _enter_root(root.path)


def _enter_root(path: bytes) -> None:
    os.chdir(path)
    try:
        # pivot_root(".", ".") stacks the old root on the new one, pivot_root(2), NOTES. Then we detach the old one.
        syscalls.pivot_root(b".", b".")
        syscalls.umount(b".")
    except syscalls.SyscallError as error:
        if error.errno not in (EPERM, EACCES, ENOSYS) or error.syscall != "pivot_root":
            raise
        # Docker's profiles refuse only pivot_root, seccomp's with EPERM and AppArmor's with EACCES. So we move the new
        # root over the old one. Then no path leads to the old root, and no process has a directory of it open.
        syscalls.mount(b".", b"/", b"", syscalls.MS_MOVE)
        os.chroot(".")
    os.chdir("/")
