"""Locks of throw-away uids: one byte each of a file that only the caller can open, fcntl(2) with F_OFD_SETLK.

Such a lock belongs to the open file. So it lasts until the last process that has inherited the descriptor has ended,
and the kernel releases it, however they end. An abstract unix socket would not do: any process can bind one, so a local
user could take every uid. The file has no content, stays, and does not grow.
"""

from __future__ import annotations

import fcntl
import os
import stat
from errno import EACCES, EAGAIN, EPERM

# A container may have no /run that can be written to. In the others, somebody else may have made the file before.
PLACES = (b"/run", b"/dev/shm", b"/var/tmp", b"/tmp")
_NAME = b"isolated-hooks-uids"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_F_OFD_SETLK = 37
_F_WRLCK = 1


def open_locks() -> int:
    """Return a descriptor of the file in the first place that has room for it.

    :raises OSError: no place has; the error is that of the first one
    """
    problem: OSError | None = None
    for place in PLACES:
        try:
            return _open(os.path.join(place, _NAME))
        except OSError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def take(locks: int, number: int) -> bool:
    """Lock a byte, and return whether nobody else has it. Never wait.

    :param locks: from :func:`open_locks`; it takes one byte
    """
    # struct flock: l_type, l_whence, l_start, l_len, l_pid, on machines with 64 bits, the only ones that have a filter.
    lock = _F_WRLCK.to_bytes(8, "little") + number.to_bytes(8, "little") + (1).to_bytes(8, "little") + bytes(8)
    try:
        fcntl.fcntl(locks, _F_OFD_SETLK, lock)
    except OSError as error:
        if error.errno not in (EAGAIN, EACCES):
            raise
        return False
    return True


def _open(path: bytes) -> int:
    fd = os.open(path, _FLAGS, 0o600)
    status = os.fstat(fd)
    own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
    if own and not status.st_mode & 0o077:
        return fd
    os.close(fd)
    raise OSError(EPERM, "another user may hold it", path)
