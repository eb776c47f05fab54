"""Copy a source tree by descriptor, for a hook whose changes are thrown away.

We follow no link and never wait. Another hook may be at work in the tree, so what is bounded is the copy itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import stat

__all__ = ["CopyLimitError", "copy_tree"]

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x40049409  # ioctl_ficlone(2)
_BLOCK = 1 << 20
_DEEPEST = 200


class CopyLimitError(Exception):
    """A tree is larger than its copy may be; the text says in which way."""


@dataclasses.dataclass
class _Left:
    """How much may still be copied. A file that shares its blocks with the original counts as an entry only."""

    size: int
    entries: int

    def take(self, *, size: int = 0, entries: int = 0) -> None:
        self.size -= size
        self.entries -= entries
        if self.size < 0:
            raise CopyLimitError("too many bytes")
        if self.entries < 0:
            raise CopyLimitError("too many files")


def copy_tree(source: int, target: int, *, size: int, entries: int) -> None:
    """Copy what is in an open directory into another: directories, regular files and links, with modes and times.

    Where the file system can, files share their blocks with the originals. We leave out other kinds of files, what this
    process may not read, owners, set-id bits and extended attributes.

    :param size: the most bytes to copy
    :param entries: the most files, links and directories
    :raises CopyLimitError: the tree has more, or is deeper than 200 directories
    :raises OSError: we cannot write the copy
    """
    _copy_directory(source, target, _Left(size, entries), depth=0)


def _copy_directory(source: int, target: int, left: _Left, *, depth: int) -> None:
    if depth > _DEEPEST:
        raise CopyLimitError(f"more than {_DEEPEST} directories in each other")
    with os.scandir(source) as entries:
        for entry in entries:
            left.take(entries=1)
            _copy_entry(source, target, os.fsencode(entry.name), left, depth)
    status = os.fstat(source)
    os.fchmod(target, stat.S_IMODE(status.st_mode) & 0o777)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_entry(source: int, target: int, name: bytes, left: _Left, depth: int) -> None:
    try:
        kind = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISLNK(kind.st_mode):
            _copy_link(source, target, name, kind)
            return
        if not (stat.S_ISREG(kind.st_mode) or stat.S_ISDIR(kind.st_mode)):
            return
        fd = os.open(name, _READ, dir_fd=source)
    except (PermissionError, FileNotFoundError):
        return
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            _copy_file(fd, target, name, status, left)
        elif stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            below = os.open(name, _READ | os.O_DIRECTORY, dir_fd=target)
            try:
                _copy_directory(fd, below, left, depth=depth + 1)
            finally:
                os.close(below)
    finally:
        os.close(fd)


def _copy_link(source: int, target: int, name: bytes, status: os.stat_result) -> None:
    os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    times = (status.st_atime_ns, status.st_mtime_ns)
    with contextlib.suppress(OSError):
        os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def _copy_file(fd: int, target: int, name: bytes, status: os.stat_result, left: _Left) -> None:
    copy = os.open(name, _NEW, 0o600, dir_fd=target)
    try:
        if not _share(fd, copy):
            while data := os.read(fd, _BLOCK):
                left.take(size=len(data))
                view = memoryview(data)
                while view:
                    view = view[os.write(copy, view) :]
        os.fchmod(copy, stat.S_IMODE(status.st_mode) & 0o777)
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(copy)


def _share(fd: int, copy: int) -> bool:
    """Have a new file share the blocks of another, ioctl_ficlone(2). Return whether the file system can do that."""
    try:
        fcntl.ioctl(copy, _FICLONE, fd)
    except OSError:
        return False
    return True
