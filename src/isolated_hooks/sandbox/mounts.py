"""The mounts of this process, and a root of its own: an empty directory, filled by operations, entered, then sealed."""

from __future__ import annotations

import os
import stat
from errno import EACCES, ENOSYS, EPERM

from . import syscalls
from .operations import Bind

if False:
    from collections.abc import Iterator, Sequence

    from .operations import Operation
    from .root import Root

# Where a root can be mounted while its final path is not reachable: the directory is hidden only in the new namespace.
_PLACES = (b"/mnt", b"/srv", b"/media", b"/tmp", b"/var/tmp", b"/run")


class OperationError(Exception):
    """An operation failed: ``operation`` and, as the cause, the OSError."""

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.operation = operation


class Mount:
    """One line of proc_pid_mountinfo(5).

    :ivar place: where it is
    :ivar root: which directory of its filesystem is shown there
    :ivar options: of this mount, such as ``ro``
    :ivar kind: of its filesystem, such as ``tmpfs``
    :ivar settings: of its filesystem, whatever mount shows it
    """

    def __init__(self, line: bytes) -> None:
        # Some optional fields, a separator, and three fields more.
        fields, _, rest = line.rstrip(b"\n").partition(b" - ")
        _, _, self._device, root, place, options, *_ = fields.split(b" ")
        self.place = _unescaped(place)
        self.root = _unescaped(root)
        self.options = options.split(b",")
        self.kind, _, rest = rest.partition(b" ")
        self.settings = rest.rpartition(b" ")[2].split(b",")

    @property
    def device(self) -> int:
        """The number of its filesystem, as stat(2) has it."""
        major, _, minor = self._device.partition(b":")
        return os.makedev(int(major), int(minor))


def _unescaped(field: bytes) -> bytes:
    first, *rest = field.split(b"\\")
    return first + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in rest)


def mounted() -> Iterator[Mount]:
    """Yield every mount that this process sees; of two at one place the upper one last."""
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            yield Mount(line)


def open_trees(operations: Sequence[Operation], namespaces: dict[bytes, int]) -> dict[bytes, int]:
    """Return detached trees of every bind, by target, the owned ones idmapped by the user namespace of their owner.

    This needs the privileges of the caller, over the filesystems and over directories such as a home of mode 0700, so
    it comes before the change of identity.
    """
    trees = {}
    for operation in operations:
        if isinstance(operation, Bind):
            try:
                trees[operation.at] = _open_tree(operation, namespaces)
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


def reachable_place() -> bytes:
    """Return a directory that every user can reach, to mount over in a mount namespace of our own."""
    for place in _PLACES:
        try:
            mode = os.stat(place).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and mode & stat.S_IXOTH:
            return place
    raise syscalls.SyscallError(2, "stat", _PLACES[0])


def mount_root(place: bytes, *, on_disk: bool) -> None:
    """Mount an empty new root at ``place``.

    The first mount of all, so what a host refuses to namespaces as a whole, it refuses here.

    :param on_disk: the user namespace has no map
    """
    syscalls.make_private()
    if not on_disk:
        syscalls.mount(b"root", place, b"tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=755,nr_inodes=16384")
        return
    # On a tmpfs of a user namespace without a map nothing can be made (EOVERFLOW); in the workspace it can.
    tree = syscalls.clone_tree(place)
    syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV, recursive=True, path=place)
    target = syscalls.open_path(place)
    syscalls.move_mount(tree, target, path=place)
    os.close(tree)
    os.close(target)


def build_root(root: Root, operations: Sequence[Operation]) -> None:
    """Run the operations beneath a new root, make it the only root, and read-only."""
    for operation in operations:
        try:
            operation.execute(root)
        except OSError as error:
            raise OperationError(operation) from error
    # The attributes go on the root mount alone: scratch directories beneath it stay writable.
    syscalls.mount_setattr(root.fd, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=root.path)
    os.close(root.fd)
    _enter_root(root.path)


def _enter_root(place: bytes) -> None:
    os.chdir(place)
    try:
        # pivot_root(".", ".") stacks the old root on the new one, pivot_root(2), NOTES; detached, it is gone.
        syscalls.pivot_root(b".", b".")
        syscalls.umount(b".")
    except syscalls.SyscallError as error:
        if error.errno not in (EPERM, EACCES, ENOSYS) or error.syscall != "pivot_root":
            raise
        # Docker's profiles refuse pivot_root alone, seccomp's by EPERM and AppArmor's by EACCES. The new root moves
        # over the old one, which no path leads to any more, and no process has a directory of it open.
        syscalls.mount(b".", b"/", b"", syscalls.MS_MOVE)
        os.chroot(".")
    os.chdir("/")
