"""Pid 1 moves files for the hook between the tree, its outputs and its temporary files.

Outside, these lie on one file system, and rename(2) works. Inside each is a mount of its own, across which the kernel
refuses it (EXDEV), and no mount can cover them all without showing what lies beside the tree. So the filter hands
rename(2) and link(2) to pid 1. Within a mount the kernel goes on with the call. Across mounts pid 1 copies the file, a
link or a directory, next to its new name, renames it there, and removes the old one; instead of a second name for a
file, the hook gets a copy.

Pid 1 sees what the hook sees, under the same user and behind the same walls, but for its own files in /proc. So both
directories have to be writable, which nothing in /proc is, and no file may be a mount point. All names are relative to
descriptors, and nothing follows a link.
"""

from __future__ import annotations

import os
import stat
from errno import EDQUOT, EEXIST, EFBIG, ENOSPC, EXDEV

from . import listener, syscalls
from .modes import Paths
from .numbers import MACHINES, NUMBERS

# Where a call has the directory and the path of the old name, those of the new name, and its flags.
_SHAPES: dict[str, tuple[int | None, int, int | None, int, int | None]] = {
    "rename": (None, 0, None, 1, None),
    "renameat": (0, 1, 2, 3, None),
    "renameat2": (0, 1, 2, 3, 4),
    "link": (None, 0, None, 1, None),
    "linkat": (0, 1, 2, 3, 4),
}
_COLUMN = MACHINES.get(syscalls.MACHINE, 0)
#: The calls, by number.
CALLS = {NUMBERS[name][_COLUMN]: name for name in _SHAPES if NUMBERS[name][_COLUMN] is not None}
_AT_FDCWD, _NOREPLACE = 0xFFFFFF9C, 1
_MOST_ENTRIES, _DEEPEST, _PIECE = 65536, 32, 1 << 24
# Errors that say more than EXDEV, after which programs copy the file themselves.
_SAID = (ENOSPC, EDQUOT, EFBIG, EEXIST)


def change(requests: int, request: listener.Request, paths: Paths) -> int | None:
    """Make the call of a request, if it crosses mounts.

    :param requests: the descriptor of the filter's listener
    :param paths: reads them
    :return: its error, or ``None`` if the kernel can go on with it
    """
    call = CALLS[request.number]
    old_at, old, new_at, new, flags = (None if i is None else request.arguments[i] for i in _SHAPES[call])
    flags = (flags or 0) & 0xFFFFFFFF
    noreplace = call == "renameat2" and flags == _NOREPLACE
    if flags and not noreplace:
        return None
    try:
        source, target = paths.read(request.task, old or 0, new or 0)
        (above, name), (beneath, other) = _split(source), _split(target)
        if (above == beneath and old_at == new_at) or {name, other} & {b"", b".", b".."}:
            return None
        here = _directory(request.task, old_at, above)
        try:
            there = _directory(request.task, new_at, beneath)
            try:
                if syscalls.mount_id(here) == syscalls.mount_id(there) or not _writable(here) or not _writable(there):
                    return None
                if not listener.is_valid(requests, request.cookie):
                    return 0  # what we have read may be another process's
                return _Move(here, name, there, other).make(links=call.startswith("link"), replaces=not noreplace)
            finally:
                os.close(there)
        finally:
            os.close(here)
    except OSError:
        return None  # the kernel finds the same


def _split(path: bytes) -> tuple[bytes, bytes]:
    """Return the directory and the name of a path, as :func:`os.path.split` does, which takes longer."""
    directory, slash, name = path.rpartition(b"/")
    return directory.rstrip(b"/") or slash, name


def _directory(task: int, at: int | None, path: bytes) -> int:
    """Return an O_PATH descriptor of what a thread means, if its request is still valid afterwards."""
    caller = listener.Caller(task)
    try:
        return _open_by_name(caller, at, path)
    finally:
        caller.close()


def _open_by_name(caller: listener.Caller, at: int | None, path: bytes) -> int:
    if at is None or at & 0xFFFFFFFF == _AT_FDCWD or path.startswith(b"/"):
        return caller.open(path or b".")
    directory = listener.take(caller.pidfd, at)
    try:
        return caller.open(path or b".", directory)
    finally:
        os.close(directory)


def _writable(directory: int) -> bool:
    """Return whether we may make names in a directory, which a read-only mount forbids, and which is not /proc."""
    if os.fstat(directory).st_dev == os.stat("/proc").st_dev:
        return False
    return os.access(".", os.W_OK | os.X_OK, dir_fd=directory, effective_ids=True)


class _Move:
    """One move from a name in one directory to a name in another one."""

    def __init__(self, here: int, name: bytes, there: int, other: bytes) -> None:
        self.here, self.name, self.there, self.other = here, name, there, other
        self.left = _MOST_ENTRIES

    def make(self, *, links: bool, replaces: bool) -> int:
        """Return the error.

        :param links: keep the old name
        :param replaces: the new name may exist
        """
        try:
            kind = os.stat(self.name, dir_fd=self.here, follow_symlinks=False).st_mode
        except OSError as error:
            return error.errno or EXDEV  # the kernel would say EXDEV, without a look at the name
        if links and not stat.S_ISREG(kind):
            return EXDEV
        temporary = b".%b" % os.urandom(12).hex().encode()
        try:
            self._copy(self.here, self.name, self.there, temporary, 0)
            if links or not replaces:
                os.link(temporary, self.other, src_dir_fd=self.there, dst_dir_fd=self.there, follow_symlinks=False)
                os.unlink(temporary, dir_fd=self.there)
            else:
                os.rename(temporary, self.other, src_dir_fd=self.there, dst_dir_fd=self.there)
        except OSError as error:
            _remove(self.there, temporary)
            expected = stat.S_ISDIR(kind) or error.errno in _SAID
            return (error.errno or EXDEV) if expected else EXDEV
        if not links:
            _remove(self.here, self.name)
        return 0

    def _copy(self, here: int, name: bytes, there: int, other: bytes, depth: int) -> None:
        self.left -= 1
        entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        try:
            # A mount point cannot be moved, rename(2), EBUSY.
            elsewhere = syscalls.mount_id(entry) != syscalls.mount_id(here)
            status = os.fstat(entry)
        finally:
            os.close(entry)
        if elsewhere or depth > _DEEPEST or self.left < 0:
            raise OSError(EXDEV, os.strerror(EXDEV))
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=here), other, dir_fd=there)
        elif stat.S_ISREG(status.st_mode):
            _copy_file(here, name, there, other)
        elif stat.S_ISDIR(status.st_mode):
            self._copy_directory(here, name, there, other, depth)
        else:
            raise OSError(EXDEV, os.strerror(EXDEV))

    def _copy_directory(self, here: int, name: bytes, there: int, other: bytes, depth: int) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        source = os.open(name, flags, dir_fd=here)
        try:
            os.mkdir(other, 0o700, dir_fd=there)
            target = os.open(other, flags, dir_fd=there)
            try:
                with os.scandir(source) as entries:  # one by one: a hook may make more than we have memory for
                    for entry in entries:
                        name = os.fsencode(entry.name)
                        self._copy(source, name, target, name, depth + 1)
                _keep(source, target, 0o3777)
            finally:
                os.close(target)
        finally:
            os.close(source)


def _copy_file(here: int, name: bytes, there: int, other: bytes) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    try:
        status = os.fstat(source)
        # Nobody wants the zeros of a sparse file written.
        if not stat.S_ISREG(status.st_mode) or status.st_blocks * 1024 < status.st_size - 65536:
            raise OSError(EXDEV, os.strerror(EXDEV))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(other, flags, 0o600, dir_fd=there)
        try:
            left = status.st_size  # and no more: while we copy, a hook may append without end
            while left > 0 and (sent := os.sendfile(target, source, None, min(left, _PIECE))):
                left -= sent
            _keep(source, target, 0o777)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _keep(source: int, target: int, bits: int) -> None:
    """Give what ``target`` is open on the mode and the times of ``source``."""
    status = os.fstat(source)
    os.fchmod(target, stat.S_IMODE(status.st_mode) & bits)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _remove(directory: int, name: bytes, depth: int = 0) -> None:
    """Remove a file, a link or a directory with all that is in it, as far as we can.

    A hook may make more directories meanwhile than we have copied, each in the one before.
    """
    try:
        try:
            os.unlink(name, dir_fd=directory)
            return
        except IsADirectoryError:
            pass
        inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            for entry in os.listdir(inside) if depth <= _DEEPEST else ():
                _remove(inside, os.fsencode(entry), depth + 1)
        finally:
            os.close(inside)
        os.rmdir(name, dir_fd=directory)
    except OSError:
        pass
