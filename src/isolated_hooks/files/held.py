"""Directories that the process which made them holds by a lock, flock(2), until it has removed them or is dead.

The kernel releases the lock of a process that is killed, so nobody has to wait, or to guess, to find what it left. On a
file system without such locks nothing is ever found to be abandoned.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator

__all__ = ["abandoned", "make_held"]

# Programs that this process starts do not hold the lock.
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_held(parent: int, new_name: Callable[[], bytes]) -> tuple[bytes, int]:
    """Make a directory beneath an open one; return its name, and the descriptor that holds it while it is open.

    :param new_name: returns a name that nothing else has, another one each time
    :raises OSError: it cannot be made; then nothing is left
    """
    while True:
        name = new_name()
        os.mkdir(name, 0o700, dir_fd=parent)
        try:
            fd = _held(parent, name)
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=parent)
            raise
        if fd is not None:
            return name, fd


def _held(parent: int, name: bytes) -> int | None:
    """Return a descriptor that holds a directory, ``None`` where another process has swept it before that."""
    try:
        fd = os.open(name, _FLAGS, dir_fd=parent)
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # no locks here
        fcntl.flock(fd, fcntl.LOCK_EX)  # waits for whoever is sweeping it
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        os.close(fd)
        if isinstance(error, FileNotFoundError):
            return None
        raise
    return fd


@contextlib.contextmanager
def abandoned(parent: int, name: str) -> Iterator[None]:
    """Hold a directory that nobody holds any more, within the context, so that nobody else sweeps it. Never waits.

    :raises OSError: somebody holds it, it is not a directory of this user, or there are no locks here
    """
    fd = os.open(name, _FLAGS, dir_fd=parent)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            raise PermissionError(f"the directory of another user: {name!r}")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)
