"""The register: which temporary directories are ours, and which trees our hooks write to, while calls run.

A hook can make a directory that has the name, the owner and the mode of a workspace: an idmapped mount makes what a
hook writes the caller's. So nothing that lies in a tree, or beside our own, proves anything. What we trust is the
register, a directory of mode 0700 in a place that no sandbox ever shows::

    /dev/shm/isolated-hooks-register-UID/      or below /run/user/UID, /run, /tmp or /var/tmp
        0123456789abcdef                   one record, which its process holds with flock(2) as long as it lives

A record is appended to, never rewritten, so a reader sees each fact or does not yet see it. Each process first writes
its own record and then reads the others', so of two calls at least one sees the other. Without a place for the
register, everything works, but no later call removes what a killed process has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator
from typing import Any

from ..frozen import dataclass
from .paths import is_within

__all__ = ["Record", "Registration", "abandoned", "holds_register", "live", "these_namespaces", "this_boot"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RECORD = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_RECORD = 1 << 20
_TRIES = 100
# The sandbox has a directory of its own in the place of each, and no tree that contains a register is accepted. In the
# first two, which are in memory, making and removing a file is cheap.
_PARENTS = ("/run/user/{}", "/dev/shm", "/run", "/tmp", "/var/tmp")


@dataclass(frozen=True)
class Record:
    """What a process has written down.

    :ivar path: the directory that it made or is about to make; empty before it has chosen one
    :ivar trees: the real paths of the trees that its hook may write to, and of its output directory
    :ivar hidden: whether other hooks must not see the directory
    :ivar sandbox: whether it is the workspace of a sandbox, with a status file
    :ivar inode: device and inode of the directory; ``None`` before it was made
    :ivar boot: :func:`this_boot` of the process
    :ivar namespaces: :func:`these_namespaces` of the process
    :ivar age: seconds since the process last wrote to it; a process writes only when a call begins
    """

    path: str = ""
    trees: tuple[str, ...] = ()
    hidden: bool = True
    sandbox: bool = False
    inode: tuple[int, int] | None = None
    boot: str = ""
    namespaces: str = ""
    age: float = 0.0


class Registration:
    """A record of this process, which it holds until :meth:`release` or until it dies."""

    def __init__(self) -> None:
        self._place = self._lock = -1
        self._name = self._path = ""
        for path in _paths():
            if self._register(path):
                self._path = path
                return

    def _register(self, path: str) -> bool:
        for _ in range(_TRIES):
            place = _open_place(path, make=True)
            if place is None:
                return False
            name = secrets.token_hex(8)
            try:
                lock = os.open(name, _RECORD | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=place)
            except OSError as error:
                os.close(place)
                if isinstance(error, FileNotFoundError):
                    continue  # another process has removed the register, because it was empty
                return False
            if _holds(place, name, lock):
                self._place, self._name, self._lock = place, name, lock
                return True
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=place)
            os.close(lock)
            os.close(place)
        return False

    def write(self, **facts: Any) -> None:
        """Add facts to the record: fields of :class:`Record`. If the disk is full, go on without a record."""
        line = json.dumps(facts).encode("ascii") + b"\n"
        try:
            if self._lock >= 0 and os.write(self._lock, line) < len(line):
                self.release()
        except OSError:
            self.release()

    def others(self) -> list[Record]:
        """Return all other records of this user, whether their processes live or not."""
        return [record for place, name, _ in _records() if name != self._name and (record := _read(place, name))]

    def release(self, *, keep: bool = False) -> None:
        """Remove the record, and the register if that is empty now.

        :param keep: the directory is not gone, so leave the record to a later call
        """
        if self._lock < 0:
            return
        if not keep:
            with contextlib.suppress(OSError):
                os.unlink(self._name, dir_fd=self._place)
        os.close(self._lock)
        os.close(self._place)
        self._lock = self._place = -1
        _remove_if_empty(self._path)


def abandoned() -> Iterator[tuple[Record, list[str]]]:
    """Yield the records that nobody holds, each locked until the next one is asked for. Never waits.

    Each comes with a list: put something into it, and the record stays.
    """
    for place, name, path in _records():
        try:
            lock = os.open(name, _RECORD | os.O_NONBLOCK, dir_fd=place)
        except OSError:
            continue
        try:
            if not _holds(place, name, lock):
                continue
            kept: list[str] = []
            yield _read(place, name) or Record(), kept
            if not kept:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=place)
        finally:
            os.close(lock)
        _remove_if_empty(path)


def live() -> Iterator[Record]:
    """Yield the records that a process holds."""
    for place, name, _ in _records():
        with contextlib.suppress(OSError):
            lock = os.open(name, _RECORD | os.O_NONBLOCK, dir_fd=place)
            try:
                held = not _holds(place, name, lock)
            finally:
                os.close(lock)
            record = _read(place, name) if held else None
            if record is not None:
                yield record


def holds_register(tree: str) -> bool:
    """Return whether a tree, a real path, contains a register of this user or lies in one."""
    return any(is_within(path, tree) or is_within(tree, path) for path in _real_paths(_paths()))


@functools.lru_cache(maxsize=1)
def this_boot() -> str:
    """Return a text for this boot and PID namespace: only within them does a process id mean the same process."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def these_namespaces() -> str:
    """Return a text for the user and mount namespaces and the root directory: only there are path and user the same."""
    try:
        root = os.stat("/")
        names = os.readlink("/proc/self/ns/user"), os.readlink("/proc/self/ns/mnt")
        return f"{' '.join(names)} {root.st_dev}:{root.st_ino}"
    except OSError:
        return ""


def _paths() -> tuple[str, ...]:
    uid = os.geteuid()
    return tuple(f"{parent.format(uid)}/isolated-hooks-register-{uid}" for parent in _PARENTS)


@functools.lru_cache(maxsize=1)
def _real_paths(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) for path in paths)


def _remove_if_empty(path: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _open_place(path: str, *, make: bool) -> int | None:
    """Return a descriptor of a register that only this user can change; ``None`` if there is none."""
    try:
        if make:
            if not _keeps_names(os.path.dirname(path)):
                return None
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
        fd = os.open(path, _DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    status = os.fstat(fd)
    if status.st_uid == os.geteuid() and not status.st_mode & 0o077 and _keeps_names(os.path.dirname(path)):
        return fd
    os.close(fd)
    return None


def _keeps_names(directory: str) -> bool:
    """Return whether other users cannot rename what a user has in a directory."""
    try:
        mode = os.stat(directory).st_mode
    except OSError:
        return False
    return not mode & (stat.S_IWGRP | stat.S_IWOTH) or bool(mode & stat.S_ISVTX)


def _records() -> Iterator[tuple[int, str, str]]:
    """Yield each record of this user: the descriptor of its register, its name, and the register's path."""
    for path in _paths():
        place = _open_place(path, make=False)
        if place is None:
            continue
        try:
            for name in os.listdir(place):
                yield place, name, path
        finally:
            os.close(place)


def _holds(place: int, name: str, lock: int) -> bool:
    """Take the lock of a record without waiting. Return whether we have it and the record is still there."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.stat(name, dir_fd=place, follow_symlinks=False), os.fstat(lock))
    except OSError:
        return False


def _read(place: int, name: str) -> Record | None:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    except OSError:
        return None
    try:
        data = os.read(fd, _MAX_RECORD)
        age = time.time() - os.fstat(fd).st_mtime
    except OSError:
        return None
    finally:
        os.close(fd)
    facts: dict[str, Any] = {}
    for line in data.split(b"\n")[:-1]:  # what follows the last line is not complete
        with contextlib.suppress(ValueError, TypeError):
            facts.update(json.loads(line))
    return _record(facts, age)


def _record(facts: dict[str, Any], age: float) -> Record | None:
    try:
        inode = facts.get("inode")
        return Record(
            path=str(facts.get("path", "")),
            trees=tuple(map(str, facts.get("trees", ()))),
            hidden=bool(facts.get("hidden", True)),
            sandbox=bool(facts.get("sandbox", False)),
            inode=None if inode is None else (int(inode[0]), int(inode[1])),
            boot=str(facts.get("boot", "")),
            namespaces=str(facts.get("namespaces", "")),
            age=age,
        )
    except (TypeError, ValueError, IndexError):
        return None
