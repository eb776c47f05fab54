"""The sandbox's own root: an empty tmpfs, filled by operations, entered by pivot_root(2), then sealed."""

from __future__ import annotations

import os

from . import syscalls
from .operations import Bind, Context

if False:
    from collections.abc import Sequence

    from .operations import Operation


class OperationError(Exception):
    """An operation failed: ``operation`` and, as the cause, the OSError."""

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.operation = operation


def open_trees(operations: Sequence[Operation], namespaces: dict[bytes, int]) -> dict[bytes, int]:
    """Return detached trees of every bind, by target, the owned ones idmapped by the user namespace of their owner.

    This needs the privileges of the caller, over the filesystems and over directories such as a home of mode 0700, so
    it comes before the change of identity.
    """
    trees = {}
    for operation in operations:
        if isinstance(operation, Bind):
            try:
                trees[os.fsencode(operation.target)] = _open_tree(operation, namespaces)
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


def build_root(place: bytes, operations: Sequence[Operation], trees: dict[bytes, int], uid: int, gid: int) -> None:
    """Mount a tmpfs at ``place``, run the operations beneath it, make it the only root, and read-only."""
    syscalls.make_private()
    syscalls.mount(b"root", place, b"tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=755,nr_inodes=16384")
    context = Context(place, trees, uid, gid)
    for operation in operations:
        try:
            operation.execute(context)
        except OSError as error:
            raise OperationError(operation) from error
    # The attributes go on the root mount alone: scratch directories beneath it stay writable.
    syscalls.mount_setattr(context.root, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=place)
    os.close(context.root)
    os.chdir(place)
    # pivot_root(".", ".") stacks the old root on the new one, pivot_root(2), NOTES; detaching it leaves the new one.
    syscalls.pivot_root(b".", b".")
    syscalls.umount(b".")
    os.chdir("/")
