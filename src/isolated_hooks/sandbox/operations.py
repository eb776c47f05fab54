"""The operations that a root filesystem is made of: each can execute itself, describe itself and travel to the child.

``plan.py`` builds them with text paths, the child executes them with byte paths; :meth:`Operation.to_wire` is the way
between. Not dataclasses: importing :mod:`dataclasses` costs a hook more than its whole sandbox.
"""

from __future__ import annotations

import os
from errno import EACCES, ENOENT, EPERM, ESRCH, EXDEV

from . import syscalls

if False:  # typing costs an import too
    from collections.abc import Callable
    from typing import Any, ClassVar

    from .degradations import Degradations
    from .identity import Entered


class Context:
    """What operations share while a root is built.

    :ivar path: where the new root is until it is pivoted into; :ivar root: a descriptor of it
    :ivar mounts: the ids of the mounts that are ours, and so may be given new names
    :ivar mapped: the user namespace has a map, without which nothing can be made on a tmpfs of our own
    :ivar degradations: what may be weaker
    :ivar trees: detached trees that were opened before, by target
    :ivar uid, gid: who the hook will be, as the sandbox sees it
    """

    def __init__(self, path: bytes, entered: Entered, degradations: Degradations) -> None:
        self.path = path
        self.root = root = syscalls.open_path(path)
        self.degradations = degradations
        self.mapped = entered.mapped
        self.mounts = {syscalls.mount_id(root)}
        self.trees = entered.trees
        self.uid = self.gid = entered.uid


class Operation:
    """One step in building the root. Immutable; ``fields`` names the arguments in their order."""

    fields: ClassVar[tuple[str, ...]] = ()
    target: str

    def __init__(self, *values: Any, **named: Any) -> None:
        given = dict(zip(self.fields, values, strict=False), **named)
        unknown = [name for name in given if name not in self.fields]
        if unknown or len(values) > len(self.fields):
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.fields)}")
        for name in self.fields:
            object.__setattr__(self, name, given[name] if name in given else getattr(type(self), name))

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

    def values(self) -> dict[str, Any]:
        """Return the arguments by name."""
        return {name: getattr(self, name) for name in self.fields}

    def to_wire(self) -> tuple[str, dict[str, Any]]:
        """Return the operation as what :mod:`marshal` can carry, every text as the bytes the kernel sees."""
        return type(self).__name__, {k: os.fsencode(v) if isinstance(v, str) else v for k, v in self.values().items()}

    def describe(self) -> str:
        """Say in words what the operation does."""
        raise NotImplementedError

    def execute(self, context: Context) -> None:
        """Do it, beneath the new root."""
        raise NotImplementedError


def from_wire(name: str, values: dict[str, Any]) -> Operation:
    """Return the operation that :meth:`Operation.to_wire` packed."""
    return OPERATIONS[name](**values)


class Bind(Operation):
    """Show a file or directory of the host, with the mounts beneath it, never with set-user-ID bits.

    :ivar owned: whose files these are, ``"caller"`` or ``"tree"`` (the owner of the source tree): where the caller is
        root they show as the sandbox's own, by an idmapped mount; empty for the system's
    :ivar device: the device node works
    """

    fields = ("source", "target", "writable", "owned", "device")
    source: str
    writable: bool = False
    owned: str = ""
    device: bool = False

    def describe(self) -> str:
        where = "" if self.source == self.target else f" from {os.fsdecode(self.source)}"
        kind = "device" if self.device else "read-write" if self.writable else "read-only"
        return f"{kind:10}  {os.fsdecode(self.target)}{where}"

    def attributes(self) -> int:
        """Return the attributes of the mount, for mount_setattr(2)."""
        device = 0 if self.device else syscalls.MOUNT_ATTR_NODEV
        return syscalls.MOUNT_ATTR_NOSUID | device | (0 if self.writable else syscalls.MOUNT_ATTR_RDONLY)

    def execute(self, context: Context) -> None:
        source: bytes = self.source  # type: ignore[assignment]
        tree = context.trees.pop(self.target, None)  # type: ignore[call-overload]
        if tree is None:
            tree = syscalls.clone_tree(source)
            syscalls.mount_setattr(tree, self.attributes(), recursive=True, path=source)
        try:
            _attach(context, tree, self.target)
        finally:
            os.close(tree)


class Cover(Bind):
    """Put something empty of the caller's over a path that is not to be reached.

    What cannot be reached from here, which is with no fewer rights than the hook will have, or is gone, needs no cover.
    """

    owned: str = "caller"

    def describe(self) -> str:
        return f"covered     {os.fsdecode(self.target)}"

    def execute(self, context: Context) -> None:
        try:
            os.close(syscalls.open_path(_relative(self.target), beneath=context.root))  # type: ignore[arg-type]
        except syscalls.SyscallError as error:
            if error.errno in (ENOENT, EACCES):
                return
            raise
        super().execute(context)


class Directory(Operation):
    """Make an empty directory."""

    fields = ("target", "mode")
    mode: int = 0o755

    def describe(self) -> str:
        return f"empty       {os.fsdecode(self.target)}"

    def execute(self, context: Context) -> None:
        os.close(_place(context, self.target, directory=True, mode=self.mode))


class File(Operation):
    """Write a small file of our own."""

    fields = ("target", "content")
    content: str = ""

    def describe(self) -> str:
        return f"synthetic   {os.fsdecode(self.target)}"

    def execute(self, context: Context) -> None:
        _write(context, self.target, self.content)  # type: ignore[arg-type]


class Accounts(Operation):
    """Write /etc/passwd and /etc/group with just the sandbox's own user, whose number is known only in the child."""

    fields = ("target", "name", "home")
    target = "/etc"
    name: str
    home: str

    def describe(self) -> str:
        return f"synthetic   {os.fsdecode(self.target)}/passwd and group with the user {os.fsdecode(self.name)} alone"

    def files(self, uid: int, gid: int) -> tuple[tuple[bytes, bytes], ...]:
        """Return the name and the content of each file."""
        name, home = map(os.fsencode, (self.name, self.home))
        user = b"%b:x:%d:%d::%b:/bin/sh\n" % (name, uid, gid, home)
        nobody = b"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        return (b"passwd", user + nobody), (b"group", b"%b:x:%d:\nnogroup:x:65534:\n" % (name, gid))

    def execute(self, context: Context) -> None:
        for name, content in self.files(context.uid, context.gid):
            _write(context, b"%b/%b" % (os.fsencode(self.target), name), content)


class Symlink(Operation):
    """Make a symbolic link."""

    fields = ("target", "destination")
    destination: str

    def describe(self) -> str:
        return f"link        {os.fsdecode(self.target)} -> {os.fsdecode(self.destination)}"

    def execute(self, context: Context) -> None:
        parent, name = _parent(context, self.target)  # type: ignore[arg-type]
        try:
            os.symlink(self.destination, name, dir_fd=parent)
        finally:
            os.close(parent)


class Scratch(Operation):
    """Mount one empty tmpfs of limited size and show it as several writable directories: one limit for them all.

    :ivar targets: pairs of directory and mode
    :ivar size: bytes; :ivar inodes: the largest number of files
    """

    fields = ("target", "targets", "size", "inodes")
    targets: tuple[tuple[str, int], ...]
    size: int
    inodes: int

    def to_wire(self) -> tuple[str, dict[str, Any]]:
        name, values = super().to_wire()
        return name, {**values, "targets": tuple((os.fsencode(path), mode) for path, mode in self.targets)}

    def describe(self) -> str:
        names = ", ".join(os.fsdecode(path) for path, _ in self.targets)
        return f"read-write  {names}: empty, together up to {self.size // 2**20} MiB"

    def execute(self, context: Context) -> None:
        if not context.mapped:
            self._show_disk(context)
            return
        options = b"mode=755,size=%d,nr_inodes=%d" % (self.size, self.inodes)
        target: bytes = self.target  # type: ignore[assignment]
        whole = _mount(context, b"tmpfs", target, syscalls.MS_NOSUID | syscalls.MS_NODEV, options)
        # The sticky bits are wanted whatever the umask says, and mkdir(2) ignores neither.
        for number, (path, mode) in enumerate(self.targets):
            part = b"%d" % number
            os.mkdir(part, dir_fd=whole)
            os.chmod(part, mode, dir_fd=whole)
            os.close(_place(context, path, directory=True))
        os.close(whole)
        for number, (path, _) in enumerate(self.targets):
            _attach_own(context, syscalls.clone_tree(context.path + target + b"/%d" % number), path)
        _unmount(context, target)

    def _show_disk(self, context: Context) -> None:
        """Show directories of the workspace, without the limit: a tmpfs of ours takes no files without a map."""
        for number, (path, mode) in enumerate(self.targets):
            source = b"%b/scratch/%d" % (os.path.dirname(context.path), number)
            os.mkdir(source)
            os.chmod(source, mode)
            tree = syscalls.clone_tree(source)
            syscalls.mount_setattr(tree, _SCRATCH_ATTRIBUTES, recursive=True, path=path)
            _attach_own(context, tree, path)


class Proc(Operation):
    """Mount a fresh /proc of the sandbox's own PID namespace, read-only as a whole."""

    fields = ("target",)

    def describe(self) -> str:
        return f"fresh       {os.fsdecode(self.target)}, read-only, of its own PID namespace"

    def execute(self, context: Context) -> None:
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        try:
            fd = _mount(context, b"proc", self.target, flags)  # type: ignore[arg-type]
        except syscalls.SyscallError as error:
            if error.errno not in (EPERM, EACCES):
                raise
            # The /proc of this place has mounts over parts of it, as in every unprivileged container, and a fresh one
            # would show what they hide, mount_namespaces(7). Or AppArmor allows one at /proc alone.
            context.degradations.allow("processes", _OLD_PROC)
            self._show_old(context)
            return
        syscalls.mount_setattr(fd, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=self.target)
        os.close(fd)

    def _show_old(self, context: Context) -> None:
        """Show the old /proc, read-only with all beneath it, and nothing of the processes that are there now."""
        tree = syscalls.clone_tree(b"/proc")
        attributes = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV
        syscalls.mount_setattr(tree, attributes, recursive=True, path=self.target)
        try:
            _attach(context, tree, self.target)
        finally:
            os.close(tree)
        place = b"/.cover"
        os.close(_mount(context, b"tmpfs", place, syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=000,nr_inodes=1"))
        for name in os.listdir(b"/proc"):
            if name.isdigit():
                _cover(context, place, os.path.join(os.fsencode(self.target), name))
        _unmount(context, place)


class Devpts(Operation):
    """Mount a /dev/pts of its own, devpts is private to each mount since Linux 4.7, with a few of the host's terminals.

    How many there can be at all, kernel.pty.max, is one number for the whole host.
    """

    fields = ("target",)

    def describe(self) -> str:
        return f"fresh       {os.fsdecode(self.target)}"

    def execute(self, context: Context) -> None:
        options = b"newinstance,ptmxmode=0666,mode=620,max=256"
        flags = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
        os.close(_mount(context, b"devpts", self.target, flags, options))  # type: ignore[arg-type]


_SCRATCH_ATTRIBUTES = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV

# What the report says where /proc cannot be mounted afresh.
_OLD_PROC = (
    "the host refuses a fresh /proc, so the old one is shown read-only: the command lines of processes that are "
    "started later can be read there"
)

OPERATIONS: dict[str, Callable[..., Operation]] = {
    cls.__name__: cls for cls in (Bind, Cover, Directory, File, Accounts, Symlink, Scratch, Proc, Devpts)
}


def _relative(path: bytes) -> bytes:
    return path.lstrip(b"/") or b"."


def _parent(context: Context, target: bytes) -> tuple[int, bytes]:
    """Open, making it where needed, the directory that ``target`` is to be in."""
    directory, _, name = target.rstrip(b"/").rpartition(b"/")
    return _place(context, directory or b"/", directory=True), name


def _place(context: Context, target: Any, *, directory: bool, mode: int = 0o755) -> int:
    """Open ``target`` beneath the new root without following a link, making what is not there.

    Nothing is ever made on a filesystem of the host: a target there has to exist.
    """
    try:
        return syscalls.open_path(_relative(target), beneath=context.root)
    except syscalls.SyscallError as error:
        if error.errno != ENOENT:
            raise
    parent, name = _parent(context, target)
    try:
        if syscalls.mount_id(parent) not in context.mounts:
            raise syscalls.SyscallError(EXDEV, "mkdir" if directory else "open", target)
        if directory:
            os.mkdir(name, mode, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent))
        return syscalls.open_path(name, beneath=parent)
    finally:
        os.close(parent)


def _cover(context: Context, place: bytes, target: bytes) -> None:
    """Put a directory of our own over one of /proc, unless its process has just ended: nothing is made in its place."""
    try:
        spot = syscalls.open_path(_relative(target), beneath=context.root)
        try:
            tree = syscalls.clone_tree(context.path + place)
            try:
                syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=target)
                syscalls.move_mount(tree, spot, path=target)
            finally:
                os.close(tree)
        finally:
            os.close(spot)
    except syscalls.SyscallError as error:
        if error.errno not in (ENOENT, ESRCH):
            raise


def _unmount(context: Context, place: bytes) -> None:
    """Take away a filesystem of our own that was needed for a while."""
    syscalls.umount(context.path + place)
    parent, name = _parent(context, place)
    os.rmdir(name, dir_fd=parent)
    os.close(parent)


def _attach_own(context: Context, tree: int, target: Any) -> None:
    """Attach a directory of our own, in which names may be given, and close its descriptor."""
    try:
        _attach(context, tree, target)
        context.mounts.add(syscalls.mount_id(tree))
    finally:
        os.close(tree)


def _attach(context: Context, tree: int, target: Any) -> None:
    directory = os.fstat(tree).st_mode & 0o170000 == 0o040000
    place = _place(context, target, directory=directory)
    try:
        syscalls.move_mount(tree, place, path=target)
    finally:
        os.close(place)


def _mount(context: Context, kind: bytes, target: bytes, flags: int, options: bytes = b"") -> int:
    """Mount a new filesystem of our own at ``target`` and return it opened."""
    os.close(_place(context, target, directory=True))
    path = context.path + target
    syscalls.mount(kind, path, kind, flags, options)
    fd = syscalls.open_path(path)
    context.mounts.add(syscalls.mount_id(fd))
    return fd


def _write(context: Context, target: bytes, content: bytes) -> None:
    parent, name = _parent(context, target)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o644, dir_fd=parent)
        try:
            os.write(fd, content)
        finally:
            os.close(fd)
    finally:
        os.close(parent)
