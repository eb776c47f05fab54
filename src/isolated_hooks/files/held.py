"""Directories that a process locks with flock(2) when it makes them, until it removes them or dies.

The kernel releases the locks of a killed process, so we find the directories that it abandoned without waiting or
guessing. On a file system without such locks, we treat no directory as abandoned.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator

__all__ = ["abandoned", "make_held"]

# O_CLOEXEC: programs that this process starts do not inherit the lock.
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_held(parent: int, new_name: Callable[[], bytes]) -> tuple[bytes, int]:
    """Make a directory beneath an open one. Return its name and the descriptor that holds its lock while open.

    :param new_name: returns a new unique name on each call
    :raises OSError: we cannot make it; then we leave nothing behind
    """
    while True:
        name = new_name()
        os.mkdir(name, 0o700, dir_fd=parent)
        try:
            fd = _open_and_lock(parent, name)
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=parent)
            raise
        if fd is not None:
            return name, fd


def _open_and_lock(parent: int, name: bytes) -> int | None:
    """Return a descriptor that holds the directory's lock, or ``None`` if another process swept it first."""
    try:
        fd = os.open(name, _FLAGS, dir_fd=parent)
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # this file system has no locks
        fcntl.flock(fd, fcntl.LOCK_EX)  # waits for a process that is sweeping it
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
    """Lock a directory that nobody holds any more, within the context, so that nobody else sweeps it. Never waits.

    :raises OSError: a process holds it, it is not a directory of this user, or this file system has no locks
    """
    fd = os.open(name, _FLAGS, dir_fd=parent)
    try:
        owner = os.fstat(fd).st_uid
        if owner != os.geteuid():
            raise PermissionError(
                f"the directory {name!r} belongs to another user (expected {os.geteuid()}, got {owner})"
            )
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)
