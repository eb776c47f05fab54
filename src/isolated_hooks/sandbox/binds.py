"""What an operation is, and the operations that mount files and directories of the host or cover them.

The parent creates operations with text paths. :meth:`Operation.to_wire` packs them for the child, which executes them
with byte paths. They are not dataclasses, because importing :mod:`dataclasses` takes longer than the whole sandbox.
"""

from __future__ import annotations

import os
from errno import EACCES, ENOENT

from . import syscalls

if False:  # typing costs an import too
    from typing import Any, ClassVar

    from .root import Root

# Where the directory for the changes of an overlay is mounted until the overlay has it.
_ABOVE = b"/.discarded"


class Operation:
    """One step that builds the root filesystem. Immutable.

    :ivar fields: the names of the arguments, in order
    :ivar target: the path in the sandbox
    """

    fields: ClassVar[tuple[str, ...]] = ()
    target: str

    def __init__(self, *values: Any, **named: Any) -> None:
        arguments = dict(zip(self.fields, values, strict=False), **named)
        unknown = [name for name in arguments if name not in self.fields]
        if unknown or len(values) > len(self.fields):
            names = [*map(repr, values), *named]
            raise TypeError(f"{type(self).__name__}: expected {', '.join(self.fields)}, got {', '.join(names)}")
        for name in self.fields:
            object.__setattr__(self, name, arguments[name] if name in arguments else getattr(type(self), name))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operation) and type(self) is type(other) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash((type(self).__name__, *self.values().items()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.values().items())})"

    @property
    def at(self) -> bytes:
        """The target in bytes, for the kernel."""
        return os.fsencode(self.target)

    def values(self) -> dict[str, Any]:
        """Return the arguments by name."""
        return {name: getattr(self, name) for name in self.fields}

    def to_wire(self) -> tuple[str, dict[str, Any]]:
        """Return the operation in types that :mod:`marshal` supports, with every text as bytes for the kernel."""
        return type(self).__name__, {k: os.fsencode(v) if isinstance(v, str) else v for k, v in self.values().items()}

    def describe(self) -> str:
        """Return a line that describes the operation."""
        raise NotImplementedError

    def opened(self) -> tuple[Bind, ...]:
        """Return the bind mounts whose trees have to be opened with the caller's privileges."""
        return ()

    def execute(self, root: Root) -> None:
        """Execute the operation beneath the new root.

        :raises OSError: it failed
        """
        raise NotImplementedError


class Bind(Operation):
    """Show a file or directory of the host, with the mounts beneath it, and ignore set-user-ID bits.

    :ivar source: the path outside
    :ivar writable: the hook can write there
    :ivar owned: the owner of the files, ``"caller"`` or ``"tree"`` (the owner of the source tree): if the caller is
        root, an idmapped mount shows them as the sandbox's own; empty for files of the system
    :ivar device: the device node works
    :ivar separate: not the system's, so somebody outside may have FIFOs there: show them as others
    :ivar along: a directory in it. Programs compare the devices of the directories on the way there, as git does where
        it looks for its repository, so only what lies beside the way is shown as another device; empty for all
    """

    fields: ClassVar[tuple[str, ...]] = ("source", "target", "writable", "owned", "device", "separate", "along")
    source: str
    writable: bool = False
    owned: str = ""
    device: bool = False
    separate: bool = False
    along: str = ""

    def describe(self) -> str:
        where = "" if self.source == self.target else f" from {os.fsdecode(self.source)}"
        kind = "device" if self.device else "read-write" if self.writable else "read-only"
        return f"{kind:10}  {os.fsdecode(self.target)}{where}"

    def opened(self) -> tuple[Bind, ...]:
        return (self,)

    def attributes(self) -> int:
        """Return the attributes of the mount, for mount_setattr(2)."""
        device = 0 if self.device else syscalls.MOUNT_ATTR_NODEV
        return syscalls.MOUNT_ATTR_NOSUID | device | (0 if self.writable else syscalls.MOUNT_ATTR_RDONLY)

    def attach(self, root: Root) -> None:
        """Attach the tree, which may have been opened before."""
        tree = root.trees.pop(self.at, None)
        if tree is None:
            source = os.fsencode(self.source)
            tree = syscalls.clone_tree(source)
            syscalls.mount_setattr(tree, self.attributes(), recursive=True, path=source)
        root.attach(tree, self.at)

    def execute(self, root: Root) -> None:
        self.attach(root)
        is_foreign = not self.writable and (self.separate or os.fsencode(self.owned) == b"tree")
        if is_foreign and self.along:
            root.separate_beside(self.at, os.fsencode(self.along))
        elif is_foreign:
            root.separate(self.at)


class Overlay(Bind):
    """Show a directory of the host copy-on-write: all changes go into another directory, overlayfs.

    :ivar above: the directory for the changes, outside, which holds ``upper`` and ``work``
    """

    fields = ("source", "target", "above", "writable", "owned")
    above: str
    writable: bool = True

    def describe(self) -> str:
        return f"discarded   {os.fsdecode(self.target)}: an overlay, whose changes are thrown away"

    def attributes(self) -> int:
        return super().attributes() | syscalls.MOUNT_ATTR_RDONLY  # the lower layer

    @property
    def _upper(self) -> Bind:
        return Bind(self.above, os.fsdecode(_ABOVE), writable=True, owned="caller")

    def opened(self) -> tuple[Bind, ...]:
        return (self, self._upper)

    def execute(self, root: Root) -> None:
        self.attach(root)
        self._upper.attach(root)
        root.overlay(self.at, _ABOVE)


class Kept(Bind):
    """Mount a directory of the sandbox's own view over itself, so that the hook can neither rename nor remove it."""

    def describe(self) -> str:
        return f"held        {os.fsdecode(self.target)}"

    def opened(self) -> tuple[Bind, ...]:
        return ()

    def execute(self, root: Root) -> None:
        root.attach(syscalls.clone_tree(root.path + self.at), self.at)


class Cover(Bind):
    """Mount an empty file or directory of the caller's over a path, to hide it.

    If the path does not exist or we cannot reach it, it needs no cover, because the hook has no more rights than we.
    """

    owned: str = "caller"

    def describe(self) -> str:
        return f"covered     {os.fsdecode(self.target)}"

    def execute(self, root: Root) -> None:
        try:
            os.close(root.open(self.at))
        except syscalls.SyscallError as error:
            if error.errno in (ENOENT, EACCES):
                return
            raise
        super().execute(root)
