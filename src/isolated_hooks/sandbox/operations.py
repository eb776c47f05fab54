"""The operations that create what the host does not show, such as links, a tmpfs or /proc. All by their names."""

from __future__ import annotations

import os
from errno import EACCES, EPERM

from . import syscalls
from .binds import Bind, Cover, Kept, Operation, Overlay

if False:  # typing costs an import too
    from collections.abc import Callable
    from typing import Any

    from .root import Root

__all__ = [
    "OPERATIONS",
    "Accounts",
    "Bind",
    "Cover",
    "Devpts",
    "File",
    "Hold",
    "Kept",
    "Limits",
    "Masked",
    "Operation",
    "Overlay",
    "Proc",
    "Scratch",
    "Symlink",
    "from_wire",
]


def from_wire(name: str, values: dict[str, Any]) -> Operation:
    """Return the operation that :meth:`Operation.to_wire` has packed."""
    return OPERATIONS[name](**values)


class File(Operation):
    """Create a small file.

    :ivar content: its content
    """

    fields = ("target", "content")
    content: str = ""

    def describe(self) -> str:
        return f"synthetic   {os.fsdecode(self.target)}"

    def execute(self, root: Root) -> None:
        root.write(self.at, os.fsencode(self.content))


class Masked(Operation):
    """Mount a file of our own, read-only, over a file of the host: the same without its credentials."""

    fields = ("target", "content")
    content: str = ""

    def describe(self) -> str:
        return f"masked      {os.fsdecode(self.target)}: without its credentials"

    def execute(self, root: Root) -> None:
        root.write(b"/.masked", os.fsencode(self.content))
        tree = syscalls.clone_tree(root.path + b"/.masked")
        syscalls.mount_setattr(tree, Bind("", "").attributes(), recursive=False, path=self.target)
        root.attach(tree, self.at)
        root.unlink(b"/.masked")


class Limits(Operation):
    """Show a cgroup's limits, and nothing else of it: files of our own, over the directory of the cgroup.

    Programs find a cgroup by the mount of its filesystem, proc_pid_mountinfo(5), and then read files there by name. So
    we mount its directory, and a tmpfs over it, which nobody inside can remove.

    :ivar source: the directory of the cgroup
    :ivar files: pairs of a name and a content
    """

    fields = ("target", "source", "files")
    source: str
    files: tuple[tuple[str, str], ...]

    def to_wire(self) -> tuple[str, dict[str, Any]]:
        name, values = super().to_wire()
        return name, {**values, "files": tuple((os.fsencode(n), os.fsencode(text)) for n, text in self.files)}

    def describe(self) -> str:
        return f"synthetic   {os.fsdecode(self.target)}: the limits of the caller's own cgroup"

    def execute(self, root: Root) -> None:
        if not root.mapped:
            return  # a tmpfs accepts no files there
        try:
            tree = syscalls.clone_tree(os.fsencode(self.source))
            try:
                attributes = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_RDONLY
                syscalls.mount_setattr(tree, attributes, recursive=True, path=self.source)
            except syscalls.SyscallError:
                os.close(tree)
                raise
            root.attach(tree, self.at)
        except syscalls.SyscallError:
            pass  # programs that look for the mount find none, and others find the files
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        fd = root.mount(b"tmpfs", self.at, flags, b"mode=755,size=256k,nr_inodes=64")
        for name, content in self.files:
            root.write(self.at + b"/" + os.fsencode(name), os.fsencode(content))
        syscalls.mount_setattr(fd, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=self.target)
        os.close(fd)


class Hold(Operation):
    """Mount a symbolic link over itself, so that the hook can neither remove nor replace it. It leads where it did.

    Tried on Linux 6.18. Where the kernel refuses it, the frontend looks at the link after the hook.
    """

    fields = ("target",)

    def describe(self) -> str:
        return f"held        {os.fsdecode(self.target)}, a link"

    def execute(self, root: Root) -> None:
        root.hold(self.at)


class Accounts(Operation):
    """Create /etc/passwd and /etc/group with only the sandbox's own user. Only the child knows the uid of that user.

    :ivar name: the user's name
    :ivar home: the user's home directory
    :ivar group: the name of the user's group, or empty if it is the user's name
    """

    fields = ("target", "name", "home", "group")
    target = "/etc"
    name: str
    home: str
    group: str = ""

    def describe(self) -> str:
        return f"synthetic   {os.fsdecode(self.target)}/passwd and group, only with the user {os.fsdecode(self.name)}"

    def files(self, uid: int, gid: int) -> tuple[tuple[bytes, bytes], ...]:
        """Return the name and the content of each of the two files."""
        name, home, group = map(os.fsencode, (self.name, self.home, self.group or self.name))
        user = b"%b:x:%d:%d::%b:/bin/sh\n" % (name, uid, gid, home)
        nobody = b"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        return (b"passwd", user + nobody), (b"group", b"%b:x:%d:\nnogroup:x:65534:\n" % (group, gid))

    def execute(self, root: Root) -> None:
        for name, content in self.files(root.uid, root.gid):
            root.write(b"%b/%b" % (self.at, name), content)


class Symlink(Operation):
    """Create a symbolic link.

    :ivar destination: the path that the link contains
    """

    fields = ("target", "destination")
    destination: str

    def describe(self) -> str:
        return f"link        {os.fsdecode(self.target)} -> {os.fsdecode(self.destination)}"

    def execute(self, root: Root) -> None:
        root.link(self.at, os.fsencode(self.destination))


class Scratch(Operation):
    """Mount an empty tmpfs and show parts of it as several writable directories, which share one size limit.

    :ivar targets: pairs of a directory and its mode
    :ivar size: the size limit, in bytes
    :ivar inodes: the largest number of files
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

    def execute(self, root: Root) -> None:
        if not root.mapped:
            self._show_disk(root)
            return
        options = b"mode=755,size=%d,nr_inodes=%d" % (self.size, self.inodes)
        whole = root.mount(b"tmpfs", self.at, syscalls.MS_NOSUID | syscalls.MS_NODEV, options)
        # chmod(2) sets the whole mode, with the sticky bit. mkdir(2) would apply the umask.
        for number, (path, mode) in enumerate(self.targets):
            part = b"%d" % number
            os.mkdir(part, dir_fd=whole)
            os.chmod(part, mode, dir_fd=whole)
            os.close(root.place(os.fsencode(path), directory=True))
        os.close(whole)
        for number, (path, _) in enumerate(self.targets):
            tree = syscalls.clone_tree(root.path + self.at + b"/%d" % number)
            root.attach(tree, os.fsencode(path), own=True)
        root.unmount(self.at)

    def _show_disk(self, root: Root) -> None:
        """Show directories of the workspace instead, without the limit: without an id map, a tmpfs accepts no files."""
        for number, (path, mode) in enumerate(self.targets):
            source = b"%b/scratch/%d" % (os.path.dirname(root.path), number)
            os.mkdir(source)
            os.chmod(source, mode)
            tree = syscalls.clone_tree(source)
            attributes = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV
            syscalls.mount_setattr(tree, attributes, recursive=True, path=path)
            root.attach(tree, os.fsencode(path), own=True)


class Proc(Operation):
    """Mount a fresh /proc of the sandbox's own PID namespace, read-only as a whole."""

    fields = ("target",)

    def describe(self) -> str:
        return f"fresh       {os.fsdecode(self.target)}, read-only, of its own PID namespace"

    def execute(self, root: Root) -> None:
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        try:
            fd = root.mount(b"proc", self.at, flags)
        except syscalls.SyscallError as error:
            if error.errno not in (EPERM, EACCES):
                raise
            # Mounts hide parts of the present /proc, as in every unprivileged container, and a fresh one would show
            # these parts, mount_namespaces(7). Or AppArmor allows a fresh one only at /proc.
            root.degradations.allow("processes", _OLD_PROC)
            self._show_old(root)
            return
        syscalls.mount_setattr(fd, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=self.target)
        os.close(fd)

    def _show_old(self, root: Root) -> None:
        """Show the old /proc, read-only with all mounts beneath it. Cover the directories of all present processes."""
        tree = syscalls.clone_tree(b"/proc")
        attributes = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV
        syscalls.mount_setattr(tree, attributes, recursive=True, path=self.target)
        root.attach(tree, self.at)
        empty = b"/.cover"
        os.close(root.mount(b"tmpfs", empty, syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=000,nr_inodes=1"))
        # Except for ours: pid 1 needs its own, which nobody else can look into.
        own = os.readlink(b"/proc/self")
        for name in os.listdir(b"/proc"):
            if name.isdigit() and name != own:
                root.cover(empty, os.path.join(self.at, name))
        root.unmount(empty)


class Devpts(Operation):
    """Mount a new /dev/pts with room for a few terminals. Since Linux 4.7, each mount of devpts has its own terminals.

    The whole host shares one limit on the number of terminals, kernel.pty.max.
    """

    fields = ("target",)

    def describe(self) -> str:
        return f"fresh       {os.fsdecode(self.target)}"

    def execute(self, root: Root) -> None:
        options = b"newinstance,ptmxmode=0666,mode=620,max=256"
        flags = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
        os.close(root.mount(b"devpts", self.at, flags, options))


# The reason in reports if the host refuses a fresh /proc.
_OLD_PROC = (
    "the host refuses a fresh /proc, so the old one is shown read-only: the command lines of processes that are "
    "started later can be read there"
)

OPERATIONS: dict[str, Callable[..., Operation]] = {
    cls.__name__: cls
    for cls in (Bind, Overlay, Kept, Cover, File, Masked, Limits, Hold, Accounts, Symlink, Scratch, Proc, Devpts)
}
