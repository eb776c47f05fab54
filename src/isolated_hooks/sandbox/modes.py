"""Pid 1 changes modes with a set-user-ID or set-group-ID bit for the hook, if what gets the mode is a directory.

In a tree that a group shares, every directory has the set-group-ID bit, and whoever copies a directory sets the bit
again: copytree, ``cp -a``, ``tar xp``. It hands the group down and lends nobody any right. On a file it lends the
group's rights to everyone who runs the file. A filter sees the bit and not the kind of the file, so it hands these few
calls to pid 1, which opens the file once, looks at what it has opened, and changes the mode of just that.

A file does not get the set-group-ID bit, and the call succeeds, as in chmod(2) for a caller who is not in the group of
the file. With set-user-ID the call fails. A file keeps a bit that it has, as long as nobody gains the permission to
execute it: whoever may write to such a file needs no chmod(2).
"""

from __future__ import annotations

import fcntl
import os
import stat
from errno import EBADF, EINVAL, ENAMETOOLONG, EOPNOTSUPP, EPERM

from . import listener, syscalls
from .numbers import MACHINES, NUMBERS

_SET_ID, _EXECUTE = 0o6000, 0o111
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0xFFFFFF9C, 0x100, 0x1000
_LONGEST_PATH, _PAGE = 4096, 4096
_SHORT = 512

_COLUMN = MACHINES.get(syscalls.MACHINE, 0)
#: The calls, by number.
CALLS = {
    NUMBERS[name][_COLUMN]: name
    for name in ("chmod", "fchmod", "fchmodat", "fchmodat2")
    if NUMBERS[name][_COLUMN] is not None
}


def change(requests: int, request: listener.Request, caller: listener.Caller) -> int:
    """Make the call of a request and return its error.

    :param requests: the descriptor of the filter's listener
    :raises OSError: the call failed
    """
    fd, mode = _open(request, caller)
    try:
        if not listener.is_valid(requests, request.cookie):
            return 0  # what we have opened may be another process's
        return _change(fd, mode)
    finally:
        os.close(fd)


def _change(fd: int, mode: int) -> int:
    status = os.fstat(fd)
    if stat.S_ISLNK(status.st_mode):
        return EOPNOTSUPP  # as from the kernel, fchmodat(2)
    if not stat.S_ISDIR(status.st_mode) and mode & ~status.st_mode & (_SET_ID | _EXECUTE):
        if mode & stat.S_ISUID:
            return EPERM
        mode &= ~stat.S_ISGID
    # The link in /proc leads to what the descriptor is open on, whatever became of its name, proc_pid_fd(5). fchmod(2)
    # refuses descriptors with O_PATH.
    os.chmod(b"/proc/self/fd/%d" % fd, mode)
    return 0


def _open(request: listener.Request, caller: listener.Caller) -> tuple[int, int]:
    """Return a descriptor of the file of a request, and the mode that the file is to get."""
    first, second, third, fourth = request.arguments[:4]
    call = CALLS[request.number]
    if call == "fchmod":
        fd = listener.take(caller.pidfd, first)
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH:
            os.close(fd)
            raise syscalls.SyscallError(EBADF, call)
        return fd, second & 0o7777
    if call == "chmod":
        return caller.open(path_at(request.task, first)), second & 0o7777
    flags = fourth & 0xFFFFFFFF if call == "fchmodat2" else 0
    if flags & ~(_AT_SYMLINK_NOFOLLOW | _AT_EMPTY_PATH):
        raise syscalls.SyscallError(EINVAL, call)
    return _open_at(caller, first & 0xFFFFFFFF, path_at(request.task, second), flags), third & 0o7777


def _open_at(caller: listener.Caller, directory: int, path: bytes, flags: int) -> int:
    follow = not flags & _AT_SYMLINK_NOFOLLOW
    if not path and flags & _AT_EMPTY_PATH:
        return caller.open(b".") if directory == _AT_FDCWD else listener.take(caller.pidfd, directory)
    above = None
    if directory != _AT_FDCWD and not path.startswith(b"/"):
        above = listener.take(caller.pidfd, directory)
    try:
        return caller.open(path, above, follow=follow)
    finally:
        if above is not None:
            os.close(above)


class Paths:
    """Reads two paths like :func:`path_at`, with a single call if they are short."""

    def __init__(self) -> None:
        self._reader = syscalls.Reader(2 * _SHORT, 2)

    def read(self, task: int, one: int, other: int) -> tuple[bytes, bytes]:
        """Return the paths at two addresses in the memory of a thread."""
        first, second = min(_SHORT, _PAGE - one % _PAGE), min(_SHORT, _PAGE - other % _PAGE)
        data = self._reader.read(task, (one, first, other, second))
        end, other_end = data.find(b"\0", 0, first), data.find(b"\0", first)
        path = data[:end] if end >= 0 else path_at(task, one)
        return path, data[first:other_end] if other_end >= 0 else path_at(task, other)


def path_at(task: int, address: int) -> bytes:
    """Read a path from the memory of a thread, page by page: the page behind its end may not exist."""
    data = b""
    while len(data) < _LONGEST_PATH:
        data += syscalls.read_memory(task, address + len(data), _PAGE - (address + len(data)) % _PAGE)
        path, end, _ = data.partition(b"\0")
        if end:
            return path
    raise syscalls.SyscallError(ENAMETOOLONG, "read")
