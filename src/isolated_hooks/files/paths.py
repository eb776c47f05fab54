"""The planner's questions about the filesystem. The planner makes no system call: a :class:`Filesystem` answers it."""

from __future__ import annotations

import functools
import os
import stat
from typing import Literal, Protocol

__all__ = ["Filesystem", "Kind", "RealFilesystem", "is_within", "resolve"]

Kind = Literal["file", "directory", "link", "device", "other"]
_MAX_LINKS = 40  # the kernel's limit, path_resolution(7)


class Filesystem(Protocol):
    """Answers questions about absolute paths. No method follows a link at the end of the path."""

    def kind(self, path: str) -> Kind | None:
        """Return the kind of ``path``, or ``None`` if nothing exists there or we may not look at it."""

    def readlink(self, path: str) -> str:
        """Return the target of a symbolic link, as written in the link."""

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted, or an empty tuple if we cannot read the directory."""

    def text(self, path: str) -> str:
        """Return up to 64 KiB from the start of a text file, or an empty text if we cannot read it."""

    def size(self, path: str) -> int:
        """Return the size of a file in bytes."""

    def private(self, path: str) -> tuple[str, ...]:
        """Return the topmost paths beneath a directory that not everybody may read, judged by their modes."""


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
        return tuple(private for private in _private(path) if os.path.lexists(private))


@functools.lru_cache
def _private(top: str) -> tuple[str, ...]:
    """Walk a directory of the system, only once per process: in a large directory this takes a second."""
    private: list[str] = []
    todo = [top]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    mode = entry.stat(follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode):
                        (todo if mode & 0o005 == 0o005 else private).append(entry.path)
                    elif stat.S_ISREG(mode) and not mode & 0o004:
                        private.append(entry.path)
        except OSError:
            continue  # the top is a file, or the directory is gone by now
    return tuple(private)


def is_within(path: str, directory: str) -> bool:
    """Return whether ``path`` is ``directory`` or beneath it. Both are absolute, without ``..``. We ignore links."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def resolve(filesystem: Filesystem, path: str) -> tuple[str | None, dict[str, str]]:
    """Return the real path of ``path``, or ``None`` if it does not exist, and each link on the way with its target."""
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
