"""Who owns the files of a source tree: it decides how root hands it over, and who gets new files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

__all__ = ["Owners", "give_back", "owners_of"]


@dataclasses.dataclass(frozen=True)
class Owners:
    """The owners in some trees.

    :ivar single: user and group where every file has the same ones, else ``None``
    :ivar largest: the largest id among them
    """

    single: tuple[int, int] | None
    largest: int


def owners_of(paths: tuple[str, ...]) -> Owners:
    """Look at every file beneath ``paths``. What cannot be looked at counts as one more owner."""
    found: set[tuple[int, int]] = set()
    complete = True
    for path in paths:
        for status in _walk(path):
            if status is None:
                complete = False
            else:
                found.add((status.st_uid, status.st_gid))
    largest = max((max(pair) for pair in found), default=0)
    return Owners(next(iter(found)) if len(found) == 1 and complete else None, largest)


def _walk(top: str) -> Iterator[os.stat_result | None]:
    todo = [top]
    try:
        yield os.lstat(top)
    except OSError:
        yield None
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
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

    By descriptor, never following a link: the names are the hook's. To be called when every process that runs under
    ``uid`` is dead.

    :param directory: an open directory
    """
    todo = [os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)]
    while todo:
        here = todo.pop()
        try:
            for name in os.listdir(here):
                _give_entry(here, name, uid, owner, todo)
        finally:
            os.close(here)


def _give_entry(parent: int, name: str, uid: int, owner: tuple[int, int], todo: list[int]) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if status.st_uid == uid:
        # lchown(2) on the name: no process is left that could put another file there.
        os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
    if status.st_mode & 0o170000 == 0o040000:
        todo.append(os.open(name, flags, dir_fd=parent))
