"""The owners of the files in a source tree: they decide how root hands it to the hook, and who gets new files."""

from __future__ import annotations

import errno
import os
import stat

from ..frozen import dataclass

__all__ = ["Owners", "give_back", "survey"]

# The users and groups of the files in a tree, or two of them, and a path that we could not look into.
_Pairs = tuple[frozenset[tuple[int, int]], str]
_KNOWN_TREES = 256
_NOT_ALLOWED = (errno.EACCES, errno.EPERM)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # another process has removed or replaced it meanwhile
_known: dict[tuple[str, int, int], _Pairs] = {}


@dataclass(frozen=True)
class Owners:
    """The owners of the files in some trees.

    :ivar single: user and group, if every file that we found has the same ones, else ``None``
    :ivar unread: a path whose files we could not find, or an empty string. Then nobody knows whether the owner is the
        only one.
    """

    single: tuple[int, int] | None
    unread: str = ""


def survey(paths: tuple[str, ...]) -> Owners:
    """Return the owners of all files beneath ``paths``.

    This process remembers a tree of the caller's own, and one of several owners: a hook creates files only for the
    owner that it is given, so it cannot change the answer. We walk a tree of one other owner again, because a frontend
    that is root adds files of its own to it.

    :raises OSError: load kept us from looking, which says nothing about the owners
    """
    pairs: set[tuple[int, int]] = set()
    unread = ""
    for top in map(os.path.realpath, paths):
        found, missed = _owners_of_tree(top)
        pairs |= found
        unread = unread or missed
    return Owners(next(iter(pairs)) if len(pairs) == 1 else None, unread)


def _owners_of_tree(top: str) -> _Pairs:
    try:
        status = os.lstat(top)
    except OSError:
        return frozenset(), top
    key = (top, status.st_dev, status.st_ino)
    known = _known.get(key)
    if known is None or known[0] == {(status.st_uid, status.st_gid)} != {(os.geteuid(), os.getegid())}:
        known = _walk_owners(top, status)
        while len(_known) >= _KNOWN_TREES:
            _known.pop(next(iter(_known)), None)
        _known[key] = known
    return known


def _walk_owners(top: str, status: os.stat_result) -> _Pairs:
    """Walk a tree by descriptor, to any depth, until we have found two owners."""
    pairs = {(status.st_uid, status.st_gid)}
    if not stat.S_ISDIR(status.st_mode):
        return frozenset(pairs), ""
    try:
        here = os.open(top, _DIRECTORY)
    except OSError as error:
        if error.errno not in _NOT_ALLOWED:
            raise
        return frozenset(pairs), top
    unread = ""
    try:
        levels = [_look(here, pairs)]
        while len(pairs) == 1:
            if levels[-1]:
                name = levels[-1].pop()
                try:
                    here = _step_into(here, name)
                except OSError as error:
                    if error.errno in _NOT_ALLOWED:
                        unread = unread or os.path.join(top, "...", name)
                    elif error.errno not in _GONE:
                        raise
                    continue
                levels.append(_look(here, pairs))
            elif len(levels) > 1:
                levels.pop()
                here = _step_into(here, "..")
            else:
                break
    finally:
        os.close(here)
    return frozenset(pairs), unread


def _look(directory: int, pairs: set[tuple[int, int]]) -> list[str]:
    """Add the owners of the entries of a directory, and return the names of the directories among them."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            pairs.add((status.st_uid, status.st_gid))
            if stat.S_ISDIR(status.st_mode):
                directories.append(entry.name)
    return directories


def give_back(directory: int, uid: int, *, owner: tuple[int, int]) -> None:
    """Give every file beneath a directory that belongs to ``uid`` to ``owner``.

    We go by descriptor, follow no link, and have two descriptors open at any depth. Call it when every process that
    runs under ``uid`` is dead: then no process can exchange a name or move a directory meanwhile.

    :param directory: the descriptor of an open directory
    :raises OSError: we cannot look at a file, or cannot give it away
    """
    here = os.open(".", _DIRECTORY, dir_fd=directory)
    levels = [_give_entries(here, uid, owner)]
    try:
        while True:
            if levels[-1]:
                here = _step_into(here, levels[-1].pop())
                levels.append(_give_entries(here, uid, owner))
            elif len(levels) > 1:
                levels.pop()
                here = _step_into(here, "..")
            else:
                return
    finally:
        os.close(here)


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _step_into(here: int, name: str) -> int:
    there = os.open(name, _DIRECTORY, dir_fd=here)
    os.close(here)
    return there


def _give_entries(directory: int, uid: int, owner: tuple[int, int]) -> list[str]:
    """Give away the entries of a directory, and return the names of the directories among them."""
    directories = []
    for name in os.listdir(directory):
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if status.st_uid == uid:
            os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            directories.append(name)
    return directories
