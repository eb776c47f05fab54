"""A hidden directory beside what is to be replaced, for what is half-written; swept where nobody holds it any more."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator

from .entries import TEMPORARY_PREFIX, temporary_name
from .trees import remove_tree

__all__ = ["aside", "aside_at", "sweep_aside"]

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME = re.compile(re.escape(TEMPORARY_PREFIX) + "[0-9a-f]{32}")


@contextlib.contextmanager
def aside(parent: int) -> Iterator[int]:
    """Make such a directory beneath an open one, give its descriptor, and remove it with all that is left in it.

    It is held by a lock, flock(2), which the kernel releases when this process is killed.
    """
    with _held(parent) as (_, fd):
        yield fd


@contextlib.contextmanager
def aside_at(parent: str) -> Iterator[str]:
    """As :func:`aside`, beneath the directory at a path; give the path of the new one."""
    above = os.open(parent, _FLAGS & ~os.O_NOFOLLOW)
    try:
        with _held(above) as (name, _):
            yield os.path.join(parent, os.fsdecode(name))
    finally:
        os.close(above)


@contextlib.contextmanager
def _held(parent: int) -> Iterator[tuple[bytes, int]]:
    name, fd = _make(parent)
    try:
        yield name, fd
    finally:
        with contextlib.suppress(OSError):
            remove_tree(parent, name)
        os.close(fd)


def sweep_aside(parent: int) -> None:
    """Remove what killed processes of this user have left in an open directory."""
    with contextlib.suppress(OSError):
        for name in [name for name in os.listdir(parent) if _NAME.fullmatch(name)]:
            with contextlib.suppress(OSError):
                _remove_if_abandoned(parent, name)


def _make(parent: int) -> tuple[bytes, int]:
    while True:
        name = temporary_name()
        os.mkdir(name, 0o700, dir_fd=parent)
        try:
            fd = os.open(name, _FLAGS, dir_fd=parent)
        except FileNotFoundError:
            continue  # swept by another process before it was held
        with contextlib.suppress(OSError):  # a file system without locks: there nothing is ever swept
            fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            os.close(fd)
            continue
        return name, fd


def _remove_if_abandoned(parent: int, name: str) -> None:
    fd = os.open(name, _FLAGS, dir_fd=parent)
    try:
        if os.fstat(fd).st_uid == os.geteuid():
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(parent, name)
    finally:
        os.close(fd)
