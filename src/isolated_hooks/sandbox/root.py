"""The root filesystem of a sandbox while it is built: what operations may do beneath it, and to nothing else.

No symbolic link is ever followed, and nothing is made on a filesystem of the host.
"""

from __future__ import annotations

import os
import stat
from errno import ENOENT, ESRCH, EXDEV

from . import syscalls

if False:
    from .degradations import Degradations


class Root:
    """A new root.

    Paths are absolute within it.

    :ivar path: where it is until it is pivoted into; :ivar fd: a descriptor of it
    :ivar trees: detached mount trees that were opened before, by target
    :ivar uid, gid: who the hook will be, as the sandbox sees it
    :ivar mapped: the user namespace has a map, without which nothing can be made on a tmpfs of our own
    :ivar degradations: what may be weaker
    """

    def __init__(
        self, path: bytes, *, trees: dict[bytes, int], uid: int, mapped: bool, degradations: Degradations
    ) -> None:
        self.path = path
        self.fd = syscalls.open_path(path)
        self.trees = trees
        self.uid = self.gid = uid
        self.mapped = mapped
        self.degradations = degradations
        self._mounts = {syscalls.mount_id(self.fd)}  # those that are ours, and so may be given new names

    def open(self, target: bytes) -> int:
        """Open what is there, as O_PATH."""
        return syscalls.open_path(target.lstrip(b"/") or b".", beneath=self.fd)

    def place(self, target: bytes, *, directory: bool, mode: int = 0o755) -> int:
        """Open ``target`` as O_PATH, an empty directory or file that is made where nothing is there.

        :raises SyscallError: EXDEV, where it would have to be made on a filesystem of the host
        """
        try:
            return self.open(target)
        except syscalls.SyscallError as error:
            if error.errno != ENOENT:
                raise
        parent, name = self.parent(target)
        try:
            if syscalls.mount_id(parent) not in self._mounts:
                raise syscalls.SyscallError(EXDEV, "mkdir" if directory else "open", target)
            if directory:
                os.mkdir(name, mode, dir_fd=parent)
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent))
            return syscalls.open_path(name, beneath=parent)
        finally:
            os.close(parent)

    def parent(self, target: bytes) -> tuple[int, bytes]:
        """Open, making it where needed, the directory that ``target`` is to be in; its descriptor and the name."""
        directory, _, name = target.rstrip(b"/").rpartition(b"/")
        return self.place(directory or b"/", directory=True), name

    def write(self, target: bytes, content: bytes) -> None:
        """Make a small file."""
        parent, name = self.parent(target)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, 0o644, dir_fd=parent)
            try:
                os.write(fd, content)
            finally:
                os.close(fd)
        finally:
            os.close(parent)

    def attach(self, tree: int, target: bytes, *, own: bool = False) -> None:
        """Attach a detached mount tree at ``target``, and close its descriptor.

        :param own: it is of a directory of our own, in which names may be given
        """
        try:
            place = self.place(target, directory=stat.S_ISDIR(os.fstat(tree).st_mode))
            try:
                syscalls.move_mount(tree, place, path=target)
            finally:
                os.close(place)
            if own:
                self._mounts.add(syscalls.mount_id(tree))
        finally:
            os.close(tree)

    def mount(self, kind: bytes, target: bytes, flags: int, options: bytes = b"") -> int:
        """Mount a new filesystem of our own at ``target`` and return it opened."""
        os.close(self.place(target, directory=True))
        path = self.path + target
        syscalls.mount(kind, path, kind, flags, options)
        fd = syscalls.open_path(path)
        self._mounts.add(syscalls.mount_id(fd))
        return fd

    def unmount(self, target: bytes) -> None:
        """Take away a filesystem of our own that was needed for a while."""
        syscalls.umount(self.path + target)
        parent, name = self.parent(target)
        os.rmdir(name, dir_fd=parent)
        os.close(parent)

    def cover(self, empty: bytes, target: bytes) -> None:
        """Put the mount at ``empty`` over ``target``, read-only, if that is there: nothing is made in its place."""
        try:
            place = self.open(target)
            try:
                tree = syscalls.clone_tree(self.path + empty)
                try:
                    syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=target)
                    syscalls.move_mount(tree, place, path=target)
                finally:
                    os.close(tree)
            finally:
                os.close(place)
        except syscalls.SyscallError as error:
            if error.errno not in (ENOENT, ESRCH):  # a process that has just ended
                raise
