"""Which paths a hook can make to mean another file: those that pass through a tree in which a hook may write.

The frontend goes on after a hook, and looks programs, modules and files up by name. A hook that writes to its source
tree decides every such lookup in the tree, or through a link or a directory in it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Sequence

from .paths import above, is_within

__all__ = ["Trees", "record_trees", "recorded_trees", "trusted_directories"]

_MAX_LINKS = 40  # the kernel's limit, path_resolution(7)


class Trees:
    """The directories that hooks may write to.

    A question takes as long for a thousand trees as for one.

    :param written: their paths. One that does not exist yet counts too.
    :param kept: directories that no hook may change although they may lie in such a tree, because each sandbox shows
        them read-only. Defaults to those of the running interpreter and of this package.
    """

    def __init__(self, written: Iterable[str], kept: Iterable[str] | None = None) -> None:
        self._real: dict[str, None] = {}
        # A bind mount shows a tree under a second path, which only its inode tells.
        self._inodes: set[tuple[int, int]] = set()
        self._kept_paths = trusted_directories() if kept is None else tuple(kept)
        self.add(written)

    def add(self, paths: Iterable[str]) -> None:
        """Add some more trees."""
        for path in map(os.path.realpath, paths):
            if path in self._real:
                continue
            self._real[path] = None
            inode = _inode(path)
            if inode is not None:
                self._inodes.add(inode)

    @property
    def written(self) -> Sequence[str]:
        """The real paths of the directories."""
        return [*self._real]

    @functools.cached_property
    def _kept(self) -> Sequence[str]:
        return [os.path.realpath(path) for path in self._kept_paths]

    def hold(self, real: str) -> bool:
        """Return whether a real path is that of a tree, or beneath one."""
        return bool(self._real) and any(path in self._real for path in above(real))

    def steer(self, path: str) -> bool:
        """Return whether a hook can choose the file that an absolute path names.

        It can if the file lies in one of the trees, or if a link or a directory on the way there does.
        """
        if not self._real:
            return False
        here, todo, links = "/", path.split("/"), 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                here = os.path.dirname(here)
                continue
            if self._can_exchange(here, part):
                return True
            here = os.path.join(here, part)
            try:
                target = os.readlink(here)
            except (OSError, ValueError):  # not a link, nothing at all, or a NUL
                continue
            links += 1
            if links > _MAX_LINKS:
                return True
            here = "/" if target.startswith("/") else os.path.dirname(here)
            todo[:0] = target.split("/")
        return self._contain(here)

    def _can_exchange(self, directory: str, name: str) -> bool:
        """Return whether a hook can put another file in the place of a name in a directory."""
        path = os.path.join(directory, name)
        return self.hold(directory) and not any(is_within(path, kept) or is_within(kept, path) for kept in self._kept)

    def _contain(self, real: str) -> bool:
        if any(is_within(real, kept) for kept in self._kept):
            return False
        return self.hold(real) or any(_inode(path) in self._inodes for path in above(real))


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def trusted_directories() -> tuple[str, ...]:
    """Return the directories of the running interpreter and of this package, which each sandbox shows read-only."""
    return sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


_recorded = Trees(())


def record_trees(paths: Iterable[str]) -> None:
    """Remember, for the life of this process, that hooks can write to some trees."""
    _recorded.add(paths)


def recorded_trees() -> Trees:
    """Return the trees that hooks of this process can write to, as far as it has run any."""
    return _recorded
