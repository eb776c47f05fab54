"""The planner's questions about the filesystem. The planner makes no system call: a :class:`Filesystem` answers it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Literal, Protocol

from ..frozen import dataclass
from .gitindex import tracked
from .listing import links_near, links_of, named_near, names_of, private_beneath, private_near
from .programs import needs_of_programs

__all__ = ["Filesystem", "Kind", "RealFilesystem", "Remembered", "Repositories", "above", "is_within", "resolve"]

Kind = Literal["file", "directory", "link", "device", "other"]
_MAX_LINKS = 40  # the kernel's limit, path_resolution(7)


@dataclass(frozen=True)
class Repositories:
    """The repositories of git that a tree contains.

    :ivar tree: the real path of the tree
    :ivar entries: pairs of the path of a ``.git``, or of the ``HEAD`` of a bare repository, and what it is: its kind,
        or the target of a link
    :ivar complete: there is no other one
    """

    tree: str
    entries: frozenset[tuple[str, str]]
    complete: bool

    @property
    def paths(self) -> tuple[str, ...]:
        """The path of each ``.git``, and of each directory that is a bare repository, sorted."""
        paths = (path for path, _ in self.entries)
        return tuple(sorted(os.path.dirname(p) if os.path.basename(p) == "HEAD" else p for p in paths))


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

    def links(self, path: str) -> tuple[tuple[str, str], ...]:
        """Return the names and the targets of the symbolic links in a directory; none if we cannot read it."""

    def links_near(self, path: str, limit: int) -> tuple[str, ...]:
        """Return the paths of the links in a directory and in those directly beneath; we look at ``limit`` entries."""

    def private(self, path: str) -> tuple[str, ...]:
        """Return the topmost paths beneath a directory that not everybody may read, judged by their modes."""

    def private_near(self, path: str, limit: int) -> tuple[str, ...]:
        """Do the same, but look at no more than ``limit`` entries, those nearest to ``path`` first.

        Return nothing for a directory that itself is private: the modes beneath it were not chosen to keep others out.
        """

    def is_private(self, path: str) -> bool:
        """Return whether the mode of a file or directory keeps others from reading it, or from entering it."""

    def named_near(self, path: str, names: frozenset[str], limit: int) -> tuple[str, ...]:
        """Return the paths beneath a directory that have one of some names, and what :meth:`private_near` does.

        We look at no more than ``limit`` entries, those nearest to ``path`` first, and at nothing beneath what we find.
        """

    def needs_of_programs(self, directory: str, limit: int) -> tuple[str, ...]:
        """Return the absolute paths that the first programs of a directory name: interpreters, and their libraries."""

    def tracked(self, index: str, paths: tuple[str, ...]) -> frozenset[str]:
        """Return those of some paths, from the top of a working tree, that an index of git names or has parts of."""


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
            return names_of(path)
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

    def links(self, path: str) -> tuple[tuple[str, str], ...]:
        try:
            status = os.stat(path)
        except OSError:
            return ()
        return links_of(path, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)

    def links_near(self, path: str, limit: int) -> tuple[str, ...]:
        return links_near(path, limit)

    def private(self, path: str) -> tuple[str, ...]:
        return tuple(private for private in private_beneath(path) if os.path.lexists(private))

    def private_near(self, path: str, limit: int) -> tuple[str, ...]:
        try:
            status = os.stat(path)
        except OSError:
            return ()
        if _is_private(status.st_mode):
            return ()
        return private_near(path, limit, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)

    def is_private(self, path: str) -> bool:
        try:
            return _is_private(os.stat(path).st_mode)
        except OSError:
            return False

    def named_near(self, path: str, names: frozenset[str], limit: int) -> tuple[str, ...]:
        return named_near(path, names, limit)

    def needs_of_programs(self, directory: str, limit: int) -> tuple[str, ...]:
        return needs_of_programs(directory, limit)

    def tracked(self, index: str, paths: tuple[str, ...]) -> frozenset[str]:
        return tracked(index, paths)


class Remembered:
    """A filesystem that asks another one each question once. Use it for one plan: a hook may change the next answer.

    A plan asks two thousand questions about some three hundred paths.
    """

    def __init__(self, filesystem: Filesystem) -> None:
        self._filesystem = filesystem
        self._kinds: dict[str, Kind | None] = {}
        self._targets: dict[str, str] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._real: dict[str, tuple[str | None, dict[str, str]]] = {}
        self.text = filesystem.text
        self.size = filesystem.size
        self.links = filesystem.links
        self.links_near = filesystem.links_near
        self.private = filesystem.private
        self.private_near = filesystem.private_near
        self.is_private = filesystem.is_private
        self.named_near = filesystem.named_near
        self.needs_of_programs = filesystem.needs_of_programs
        self.tracked = filesystem.tracked

    def kind(self, path: str) -> Kind | None:
        try:
            return self._kinds[path]
        except KeyError:
            return self._kinds.setdefault(path, self._filesystem.kind(path))

    def readlink(self, path: str) -> str:
        if path not in self._targets:
            self._targets[path] = self._filesystem.readlink(path)
        return self._targets[path]

    def names(self, path: str) -> tuple[str, ...]:
        if path not in self._names:
            self._names[path] = () if self._kinds.get(path) == "file" else self._filesystem.names(path)
        return self._names[path]

    def resolve(self, path: str) -> tuple[str | None, dict[str, str]]:
        """Return what :func:`resolve` does. Nobody may change the dictionary."""
        if path not in self._real:
            self._real[path] = _resolve(self, path)
        return self._real[path]


def _is_private(mode: int) -> bool:
    needed = 0o005 if stat.S_ISDIR(mode) else 0o004
    return mode & needed != needed


def is_within(path: str, directory: str) -> bool:
    """Return whether ``path`` is ``directory`` or beneath it. Both are absolute, without ``..``. We ignore links."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def above(path: str) -> Iterator[str]:
    """Yield ``path`` and every directory that it is within, the nearest first, as :func:`is_within` sees them."""
    yield path
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)
    if path != "/":
        yield "/"


def resolve(filesystem: Filesystem, path: str) -> tuple[str | None, Mapping[str, str]]:
    """Return the real path of ``path``, or ``None`` if it does not exist, and each link on the way with its target."""
    return filesystem.resolve(path) if isinstance(filesystem, Remembered) else _resolve(filesystem, path)


def _resolve(filesystem: Filesystem, path: str) -> tuple[str | None, dict[str, str]]:
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
        here = f"{done}/{part}" if done != "/" else f"/{part}"
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
