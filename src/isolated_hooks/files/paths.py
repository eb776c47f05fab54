"""What the planner may ask about the filesystem. The planner itself makes no system call: it is given one of these."""

from __future__ import annotations

import functools
import os
import stat
from typing import Literal, Protocol

__all__ = ["Filesystem", "Kind", "RealFilesystem", "is_within", "resolve"]

Kind = Literal["file", "directory", "link", "device", "other"]
_MAX_LINKS = 40  # as the kernel, path_resolution(7)


class Filesystem(Protocol):
    """Questions about absolute paths. None of them follows a link at the end of the path."""

    def kind(self, path: str) -> Kind | None:
        """Return what ``path`` is, or ``None`` where there is nothing or it cannot be looked at."""

    def readlink(self, path: str) -> str:
        """Return where a symbolic link points."""

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted; empty where it cannot be read."""

    def text(self, path: str) -> str:
        """Return the beginning of a text file, empty where it cannot be read."""

    def size(self, path: str) -> int:
        """Return the size of a file in bytes."""

    def private(self, path: str) -> tuple[str, ...]:
        """Return what is beneath a directory that modes keep from being read by everybody, without what is in there."""


class RealFilesystem:
    """The filesystem of this host."""

    def kind(self, path: str) -> Kind | None:
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return None
        kinds: tuple[tuple[bool, Kind], ...] = (
            (stat.S_ISREG(mode), "file"),
            (stat.S_ISDIR(mode), "directory"),
            (stat.S_ISLNK(mode), "link"),
            (stat.S_ISCHR(mode) or stat.S_ISBLK(mode), "device"),
        )
        return next((kind for holds, kind in kinds if holds), "other")

    def readlink(self, path: str) -> str:
        return os.readlink(path)

    def names(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(path)))
        except OSError:
            return ()

    def text(self, path: str) -> str:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                regular = stat.S_ISREG(os.fstat(fd).st_mode)
                return os.read(fd, 65536).decode("utf-8", "surrogateescape") if regular else ""
            finally:
                os.close(fd)
        except OSError:
            return ""

    def size(self, path: str) -> int:
        return os.lstat(path).st_size

    def private(self, path: str) -> tuple[str, ...]:
        return tuple(found for found in _private(path) if os.path.lexists(found))


@functools.lru_cache
def _private(top: str) -> tuple[str, ...]:
    """Walk a directory of the system, once in the life of a process: in a large one this takes a second."""
    found: list[str] = []
    todo = [top]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    mode = entry.stat(follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode):
                        (todo if mode & 0o005 == 0o005 else found).append(entry.path)
                    elif stat.S_ISREG(mode) and not mode & 0o004:
                        found.append(entry.path)
        except OSError:
            continue  # a file at the top, or gone meanwhile
    return tuple(found)


def is_within(path: str, directory: str) -> bool:
    """Say whether ``path`` is ``directory`` or beneath it. Both are absolute, without ``..``; no link is looked at."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def resolve(filesystem: Filesystem, path: str) -> tuple[str | None, dict[str, str]]:
    """Return the real path of ``path``, ``None`` where it does not exist, and every link on the way with its target."""
    links: dict[str, str] = {}
    hops = 0
    done, todo = "/", [part for part in path.split("/") if part]
    while todo:
        part = todo.pop(0)
        if part in (".", ""):
            continue
        if part == "..":
            done = os.path.dirname(done)
            continue
        here = os.path.join(done, part)
        kind = filesystem.kind(here)
        if kind is None:
            return None, links
        if kind != "link":
            done = here
            continue
        hops += 1
        if hops > _MAX_LINKS:
            return None, links
        target = links[here] = filesystem.readlink(here)
        if target.startswith("/"):
            done = "/"
        todo[:0] = [p for p in target.split("/") if p]
    return done, links
