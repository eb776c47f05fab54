"""The owners of the files in a source tree: they decide how root hands it to the hook, and who gets new files."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator

__all__ = ["Owners", "give_back", "survey"]


@dataclasses.dataclass(frozen=True)
class Owners:
    """The owners of the files in some trees.

    :ivar single: user and group, if every file has the same ones, else ``None``
    :ivar largest: the largest user or group id among them
    """

    single: tuple[int, int] | None
    largest: int


def survey(paths: tuple[str, ...]) -> Owners:
    """Return the owners of all files beneath ``paths``.

    Files that we cannot look at count as one more owner.
    """
    pairs: set[tuple[int, int]] = set()
    complete = True
    for top in paths:
        for status in _walk(os.path.realpath(top)):
            if status is None:
                complete = False
                continue
            pairs.add((status.st_uid, status.st_gid))
    largest = max((max(pair) for pair in pairs), default=0)
    return Owners(next(iter(pairs)) if len(pairs) == 1 and complete else None, largest)


def _walk(top: str) -> Iterator[os.stat_result | None]:
    todo = [top]
    try:
        yield os.lstat(top)
    except OSError:
        yield None
    while todo:
        here = todo.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
        except NotADirectoryError:
            continue  # the top is a file
        except OSError:
            yield None


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
