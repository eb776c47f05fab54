"""Directories of the host listed for the planner: their links, and what modes keep from others."""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import os
import stat
import time
from collections.abc import Iterator

__all__ = ["links_near", "links_of", "named_near", "names_of", "private_beneath", "private_entries", "private_near"]

# The seconds after which we walk a directory again. A walk of the whole system takes about a second, so a mode that
# changes in between counts only afterwards.
_FRESH = 60
# The nanoseconds after which a directory's times tell its states apart. The kernel takes times from a clock that ticks
# a hundred times a second at least, so two changes within a tick have one time, inode(7).
_SETTLED = 1_000_000_000


def private_beneath(top: str) -> tuple[str, ...]:
    """Return the topmost private paths beneath a directory, as they were at most a minute ago."""
    return _private(top, int(time.monotonic() // _FRESH))


def private_near(top: str, limit: int, *state: int) -> tuple[str, ...]:
    """Return the same for at most ``limit`` entries, as they were when the directory got its present state, or later.

    :param state: numbers that change when an entry is made
    """
    return _private_near(top, limit, int(time.monotonic() // _FRESH), *state)


@functools.lru_cache(maxsize=64)
def _private_near(top: str, limit: int, *_state: int) -> tuple[str, ...]:
    return tuple(private_entries(top, limit))


@functools.lru_cache(maxsize=64)
def _private(top: str, _period: int) -> tuple[str, ...]:
    return tuple(private_entries(top, None))


def named_near(top: str, names: frozenset[str], limit: int) -> tuple[str, ...]:
    """Return the topmost paths beneath a directory that have one of some names or are private, judged by their modes.

    We look at ``limit`` entries at most, once a minute. A directory that itself is private says nothing by its modes.
    """
    return _named_near(top, names, limit, int(time.monotonic() // _FRESH))


@functools.lru_cache(maxsize=16)
def _named_near(top: str, names: frozenset[str], limit: int, _period: int) -> tuple[str, ...]:
    try:
        private = os.stat(top).st_mode & 0o005 != 0o005
    except OSError:
        return ()
    return tuple(private_entries(top, limit, names, modes=not private))


def private_entries(
    top: str, limit: int | None, names: frozenset[str] = frozenset(), *, modes: bool = True
) -> Iterator[str]:
    """Yield the private entries beneath a directory, and nothing beneath those. The nearest entries come first.

    :param limit: the number of entries to look at
    :param names: entries with one of these names count too
    :param modes: entries count by their modes
    """
    todo = collections.deque([top])
    while todo:
        try:
            with os.scandir(todo.popleft()) as entries:
                for entry in itertools.islice(entries, limit):
                    if limit is not None:
                        limit -= 1
                    mode = entry.stat(follow_symlinks=False).st_mode
                    if entry.name in names:
                        yield entry.path
                    elif stat.S_ISDIR(mode) and (not modes or mode & 0o005 == 0o005):
                        todo.append(entry.path)
                    elif modes and (stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not mode & 0o004)):
                        yield entry.path
        except OSError:
            continue  # the top is a file, or the directory is gone by now
        if limit is not None and limit <= 0:
            return


def names_of(path: str) -> tuple[str, ...]:
    """Return the names in a directory, sorted. A large one is read again only if its times have changed.

    :raises OSError: it cannot be read
    """
    state = _state_of(os.stat(path))
    # Nobody can set the time of the last change, which is in the future only if the clock has been set back.
    if time.time_ns() - state[-1] > _SETTLED:
        with contextlib.suppress(_ChangedError):
            return _names(path, *state)
    return tuple(sorted(os.listdir(path)))


class _ChangedError(Exception):
    """A directory has another state than it had."""


@functools.lru_cache(maxsize=128)
def _names(path: str, *state: int) -> tuple[str, ...]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        names = tuple(sorted(os.listdir(fd)))
        if _state_of(os.fstat(fd)) != state:
            raise _ChangedError
    finally:
        os.close(fd)
    return names


def _state_of(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def links_near(top: str, limit: int) -> tuple[str, ...]:
    """Return the paths of symbolic links in a directory and in the directories there, at most a minute old.

    We look at ``limit`` entries at most, those of the directory first, and into no directory with a leading dot.
    """
    return _links_near(top, limit, int(time.monotonic() // _FRESH))


@functools.lru_cache(maxsize=16)
def _links_near(top: str, limit: int, _period: int) -> tuple[str, ...]:
    paths: list[str] = []
    todo = [(top, True)]
    for place, at_top in todo:  # it grows meanwhile
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            for entry in itertools.islice(entries, limit):
                limit -= 1
                if entry.is_symlink():
                    paths.append(entry.path)
                elif at_top and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    todo.append((entry.path, False))
    return tuple(sorted(paths))


@functools.lru_cache(maxsize=64)
def links_of(path: str, *_state: int) -> tuple[tuple[str, str], ...]:
    """Return the links of a directory in one state: a new link changes its times."""
    paths = []
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if entry.is_symlink():
                paths.append((entry.name, os.readlink(entry.path)))
    return tuple(sorted(paths))
