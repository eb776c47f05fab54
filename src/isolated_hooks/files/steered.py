"""Which paths a hook can make to mean another file: those that pass through a tree in which a hook may write.

The frontend goes on after a hook, and looks programs, modules and files up by name. A hook that writes to its source
tree decides every such lookup in the tree, or through a link or a directory in it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Sequence

from .paths import is_within

__all__ = ["Trees", "record_trees", "recorded_trees"]

_MAX_LINKS = 40  # the kernel's limit, path_resolution(7)
# From this many on, we forget those that are gone. A wheelhouse of thousands has few at a time.
_MANY = 64


class Trees:
    """The directories that hooks may write to.

    :param written: their paths. One that does not exist yet counts too.
    :param kept: directories that no hook may change although they may lie in such a tree, because each sandbox shows
        them read-only. Defaults to those of the running interpreter and of this package.
    """

    def __init__(self, written: Iterable[str], kept: Iterable[str] | None = None) -> None:
        self._paths = tuple(written)
        self._kept_paths = _trusted() if kept is None else tuple(kept)

    @functools.cached_property
    def written(self) -> Sequence[str]:
        """The real paths of the directories."""
        return [*dict.fromkeys(os.path.realpath(path) for path in self._paths)]

    @functools.cached_property
    def _kept(self) -> Sequence[str]:
        return [os.path.realpath(path) for path in self._kept_paths]

    @functools.cached_property
    def _inodes(self) -> set[tuple[int, int]]:
        # A bind mount shows a tree under a second path, which only its inode tells.
        return {inode for path in self.written if (inode := _inode(path)) is not None}

    def steer(self, path: str) -> bool:
        """Return whether a hook can choose the file that an absolute path names.

        It can if the file lies in one of the trees, or if a link or a directory on the way there does.
        """
        if not self.written:
            return False
        here, todo, links = "/", path.split("/"), 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                here = os.path.dirname(here)
                continue
            here = os.path.join(here, part)
            if self._can_exchange(here):
                return True
            try:
                target = os.readlink(here)
            except (OSError, ValueError):  # not a link, nothing at all, or a NUL
                continue
            links += 1
            if links > _MAX_LINKS:
                return True
            here = "/" if target.startswith("/") else os.path.dirname(here)
            todo[:0] = target.split("/")
        return self._holds(here)

    def _can_exchange(self, path: str) -> bool:
        """Return whether a hook can replace the name ``path``, which it can beneath a tree, but not at its top."""
        if not any(path != tree and is_within(path, tree) for tree in self.written):
            return False
        return not any(is_within(path, kept) or is_within(kept, path) for kept in self._kept)

    def _holds(self, real: str) -> bool:
        if any(is_within(real, kept) for kept in self._kept):
            return False
        if any(is_within(real, tree) for tree in self.written):
            return True
        while real != "/":
            if _inode(real) in self._inodes:
                return True
            real = os.path.dirname(real)
        return False


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _trusted() -> tuple[str, ...]:
    return sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


_recorded: dict[str, None] = {}
_latest: list[Trees] = []


def record_trees(paths: Iterable[str]) -> None:
    """Remember, for the life of this process, that hooks can write to some trees."""
    real = [os.path.realpath(path) for path in paths]
    if _recorded.keys() >= {*real}:
        return
    if len(_recorded) >= _MANY:
        for path in [path for path in _recorded if not os.path.lexists(path)]:
            _recorded.pop(path, None)
    _recorded.update(dict.fromkeys(real))
    _latest[:] = [Trees(tuple(_recorded))]


def recorded_trees() -> Trees:
    """Return the trees that hooks of this process can write to, as far as it has run any."""
    return _latest[0] if _latest else Trees(())
