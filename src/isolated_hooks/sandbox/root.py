"""The root filesystem of a sandbox during set-up. Operations change it only through this class, and nothing outside it.

It never follows a symbolic link and never creates a file or directory on a filesystem of the host.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL, ELOOP, ENOENT, ENOTDIR, ESRCH, EXDEV

from . import syscalls

if False:
    from .degradations import Degradations


# The entries of a directory on the way to a source tree, each of which may take a mount of its own.
_MOST_BESIDE = 256


class Root:
    """A new root filesystem. All targets are absolute paths within it.

    :ivar path: the path of the root, outside, until pivot_root(2)
    :ivar fd: a descriptor of the root
    :ivar empty: a descriptor of an empty directory: the one beneath the mount of /proc
    :ivar trees: by target, detached mount trees that were opened before
    :ivar uid: the hook's user id, inside the sandbox
    :ivar gid: the hook's group id, inside the sandbox
    :ivar mapped: the user namespace has an id map; without one, nothing can be created on our own tmpfs
    :ivar degradations: decides which protections may be weaker
    """

    def __init__(
        self, path: bytes, *, trees: dict[bytes, int], uid: int, gid: int, mapped: bool, degradations: Degradations
    ) -> None:
        self.path = path
        self.fd = syscalls.open_path(path)
        self.trees = trees
        self.uid, self.gid = uid, gid
        self.mapped = mapped
        self.degradations = degradations
        self._mounts = {syscalls.mount_id(self.fd)}  # our own, in which we may create names
        self._kept = {b"": self.fd}  # descriptors of directories there, by path
        self.empty = self.place(b"/proc", directory=True)

    def open(self, target: bytes) -> int:
        """Open an existing ``target`` as O_PATH."""
        return syscalls.open_path(target.lstrip(b"/") or b".", beneath=self.fd)

    def place(self, target: bytes, *, directory: bool, mode: int = 0o755) -> int:
        """Open ``target`` as O_PATH. If nothing exists there, first create an empty directory or file.

        :raises SyscallError: EXDEV, if we would have to create it on a filesystem of the host
        """
        above = target.rstrip(b"/").rpartition(b"/")[0]
        if above not in self._kept:  # in a directory of our own there is mostly nothing yet
            try:
                return self.open(target)
            except syscalls.SyscallError as error:
                if error.errno != ENOENT:
                    raise
        parent, name = self._parent(target)
        if not name:
            return self.open(target)
        try:
            if parent not in self._kept.values():
                raise syscalls.SyscallError(EXDEV, "mkdir" if directory else "open", target)
            try:
                if directory:
                    os.mkdir(name, mode, dir_fd=parent)
                else:
                    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent))
            except FileExistsError:
                pass
            return syscalls.open_path(name, beneath=parent)
        finally:
            self._release(parent)

    def _parent(self, target: bytes) -> tuple[int, bytes]:
        """Open the directory of ``target``, creating it if needed. Return its descriptor and the name of ``target``.

        We keep the descriptors of our own directories, until something is mounted over them.
        """
        directory, _, name = target.rstrip(b"/").rpartition(b"/")
        if directory not in self._kept:
            fd = self.place(directory, directory=True)
            if syscalls.mount_id(fd) not in self._mounts:
                return fd, name
            self._kept[directory] = fd
        return self._kept[directory], name

    def _release(self, parent: int) -> None:
        """Close the descriptor of a directory, unless we keep it."""
        if parent not in self._kept.values():
            os.close(parent)

    def _forget(self, target: bytes) -> None:
        """Close what we keep at a path and beneath it, where a mount begins or ends."""
        for path in [path for path in self._kept if path and (path + b"/").startswith(target.rstrip(b"/") + b"/")]:
            os.close(self._kept.pop(path))

    def close(self) -> None:
        """Close all descriptors."""
        self._forget(b"")
        os.close(self.fd)
        os.close(self.empty)

    def write(self, target: bytes, content: bytes) -> None:
        """Create a small file."""
        parent, name = self._parent(target)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, 0o644, dir_fd=parent)
            try:
                os.write(fd, content)
            finally:
                os.close(fd)
        finally:
            self._release(parent)

    def link(self, target: bytes, destination: bytes) -> None:
        """Create a symbolic link."""
        parent, name = self._parent(target)
        try:
            os.symlink(destination, name, dir_fd=parent)
        finally:
            self._release(parent)

    def unlink(self, target: bytes) -> None:
        """Remove a file of our own. A mount that shows it goes on showing it."""
        parent, name = self._parent(target)
        try:
            os.unlink(name, dir_fd=parent)
        finally:
            self._release(parent)

    def hold(self, target: bytes) -> None:
        """Mount a symbolic link over itself. Do nothing if ``target`` is no link."""
        directory, _, name = target.rpartition(b"/")
        parent = self.open(directory or b"/")
        try:
            link = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        finally:
            os.close(parent)
        try:
            if stat.S_ISLNK(os.fstat(link).st_mode):
                tree = syscalls.clone_at(link, path=target)
                try:
                    syscalls.move_mount(tree, link, path=target)
                finally:
                    os.close(tree)
        except syscalls.SyscallError as error:
            if error.errno not in (EINVAL, ELOOP):  # a kernel that mounts nothing over a link
                raise
        finally:
            os.close(link)

    def attach(self, tree: int, target: bytes, *, own: bool = False) -> None:
        """Attach a detached mount tree at ``target`` and close its descriptor.

        :param own: the tree shows a directory of our own, in which we may create names
        """
        try:
            mount_point = self.place(target, directory=stat.S_ISDIR(os.fstat(tree).st_mode))
            try:
                syscalls.move_mount(tree, mount_point, path=target)
            finally:
                os.close(mount_point)
            self._forget(target)
            if own:
                self._mounts.add(syscalls.mount_id(tree))
        finally:
            os.close(tree)

    def separate(self, target: bytes) -> None:
        """Show the read-only directory at ``target`` through an overlay: its FIFOs and sockets are others than outside.

        A FIFO at ``target`` itself becomes one of our own. A read-only mount stops nobody from writing to a FIFO.
        overlayfs has an inode of its own for each, and no other process has that one open (tried on Linux 6.18, as root
        and as a user). We leave the directory as it is if the host has no overlayfs for us, or if there are mounts
        beneath, which an overlay would not show.
        """
        directory = self.open(target)
        try:
            mode = os.fstat(directory).st_mode
            if stat.S_ISFIFO(mode):
                self._replace_fifo(directory, target)
            if not stat.S_ISDIR(mode) or self._has_mounts(target):
                return
            flags = syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV
            top = b"/proc/self/fd/%d" % directory
            layers = b"lowerdir=%b:/proc/self/fd/%d,redirect_dir=nofollow,metacopy=off" % (top, self.empty)
            syscalls.mount(b"overlay", top, b"overlay", flags, layers)
            self._forget(target)
        except syscalls.SyscallError:
            pass
        finally:
            os.close(directory)

    def separate_beside(self, target: bytes, along: bytes) -> None:
        """Do the same for what lies beside the way from ``target`` to ``along``. Those on it stay as they are.

        A directory on the way with too many entries is shown through an overlay itself. git then finds no repository
        above it, unless GIT_DISCOVERY_ACROSS_FILESYSTEM tells it to look.
        """
        here = target
        for name in along[len(target) :].strip(b"/").split(b"/"):
            with os.scandir(self.path + here) as found:
                entries = [entry for entry, _ in zip(found, range(_MOST_BESIDE + 1), strict=False)]
            if len(entries) > _MOST_BESIDE:
                self.separate(here)
                return
            for entry in entries:
                if entry.name != name:
                    self._separate_entry(entry, here)
            here += b"/" + name

    def _separate_entry(self, entry: os.DirEntry[bytes], directory: bytes) -> None:
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode) or stat.S_ISFIFO(mode):
                self.separate(directory + b"/" + entry.name)
        except OSError as error:
            if error.errno not in (ENOENT, ENOTDIR, ELOOP):  # somebody has removed it, or put something else there
                raise

    def overlay(self, target: bytes, above: bytes) -> None:
        """Mount an overlay over the directory at ``target``, and take the mount at ``above`` away again.

        The overlay keeps its own mounts of both, overlayfs(5); nothing leads to them.

        :param above: a writable mount with the directories ``upper`` and ``work``
        """
        directory, layers = self.open(target), self.open(above)
        try:
            lower, upper = b"/proc/self/fd/%d" % directory, b"/proc/self/fd/%d" % layers
            # userxattr: a user namespace has no trusted attributes; since Linux 5.11. It turns redirect_dir off.
            # volatile: otherwise the end of the overlay waits until all of its file system is on the disk.
            options = b"lowerdir=%b,upperdir=%b/upper,workdir=%b/work,userxattr,volatile" % (lower, upper, upper)
            syscalls.mount(b"overlay", lower, b"overlay", syscalls.MS_NOSUID | syscalls.MS_NODEV, options)
            self._forget(target)
        finally:
            os.close(directory)
            os.close(layers)
        self.unmount(above)

    def _replace_fifo(self, fifo: int, target: bytes) -> None:
        """Mount a FIFO of our own over one."""
        name = b".fifo"
        os.mkfifo(name, 0o666, dir_fd=self.fd)
        tree = syscalls.clone_tree(self.path + b"/" + name)
        try:
            syscalls.move_mount(tree, fifo, path=target)
        finally:
            os.close(tree)
            os.unlink(name, dir_fd=self.fd)

    def _has_mounts(self, target: bytes) -> bool:
        path = self.path + target
        for special in (b"\\", b" ", b"\t", b"\n"):
            path = path.replace(special, b"\\%03o" % ord(special))
        with open("/proc/self/mountinfo", "rb") as file:
            return b" %b/" % path in file.read()

    def mount(self, kind: bytes, target: bytes, flags: int, options: bytes = b"") -> int:
        """Mount a new filesystem of our own at ``target`` and return a descriptor of it."""
        os.close(self.place(target, directory=True))
        path = self.path + target
        syscalls.mount(kind, path, kind, flags, options)
        self._forget(target)
        fd = syscalls.open_path(path)
        self._mounts.add(syscalls.mount_id(fd))
        return fd

    def queues(self) -> int | None:
        """Return a descriptor of the root of mq_overview(7)'s filesystem, or ``None`` if the host refuses to mount it.

        mq_open(3) opens files there, in a mount of the kernel's own, and Landlock needs a rule for them.
        """
        try:
            fd = self.mount(b"mqueue", b"/.queues", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
        except syscalls.SyscallError:
            return None
        self.unmount(b"/.queues")
        return fd

    def unmount(self, target: bytes) -> None:
        """Unmount a filesystem of our own and remove its mount point."""
        syscalls.umount(self.path + target)
        self._forget(target)
        parent, name = self._parent(target)
        os.rmdir(name, dir_fd=parent)
        self._release(parent)

    def cover(self, empty: bytes, target: bytes) -> None:
        """Put the mount at ``empty`` over ``target``, read-only. Do nothing if ``target`` does not exist."""
        try:
            mount_point = self.open(target)
            try:
                tree = syscalls.clone_tree(self.path + empty)
                try:
                    syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=target)
                    syscalls.move_mount(tree, mount_point, path=target)
                    self._forget(target)
                finally:
                    os.close(tree)
            finally:
                os.close(mount_point)
        except syscalls.SyscallError as error:
            if error.errno not in (ENOENT, ESRCH):  # ESRCH: a process that has just ended
                raise
