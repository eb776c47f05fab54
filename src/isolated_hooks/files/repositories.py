"""Repositories of git in a tree that hooks write to: found near its top, and set aside if a hook has made them.

git looks for a repository in the current directory and in those above it: a directory, link or file ``.git``, or a
directory that looks like a bare repository, gitrepository-layout(5). It obeys the configuration that it finds, which
names programs to run. So a repository that a hook leaves behind would run code outside as soon as somebody uses git
there.
"""

from __future__ import annotations

import collections
import contextlib
import os
import secrets
import stat
from collections.abc import Iterator

from ..errors import UntrustedResultError
from ..frozen import dataclass
from .paths import Repositories
from .trees import open_own_directory

__all__ = ["MOST_DIRECTORIES", "find", "outgrown", "set_aside"]

#: The number of directories of a tree in which we look for repositories, those nearest to the top first. Looking at one
#: that has not changed takes about two microseconds.
MOST_DIRECTORIES = 128
# The number after a hook, if we have looked into all before it: the hook has made the others.
_MOST_NEW = 8192
_MOST_ENTRIES = 4096
# A repository that has lost its HEAD is a directory in which there may be others, as in .git/modules.
_MOST_NESTED = 64
_KNOWN_DIRECTORIES = 16384
# What makes a directory with a HEAD a repository, gitrepository-layout(5).
_BARE = (("objects", "refs"), ("commondir",))
_LINK = "-> "
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class _Listing:
    inode: int
    changed: int
    entries: tuple[tuple[str, str], ...]
    directories: tuple[str, ...]
    complete: bool


_known: dict[str, _Listing] = {}


def find(tree: str, limit: int = MOST_DIRECTORIES) -> Repositories:
    """Return the repositories near the top of a tree.

    :param tree: a real path
    :param limit: the number of directories to look into
    """
    entries: list[tuple[str, str]] = []
    complete = True
    todo = collections.deque([tree])
    while todo and limit > 0:
        limit -= 1
        here = todo.popleft()
        listing = _list(here)
        if listing is not None:
            entries += listing.entries
            complete = complete and listing.complete
            todo += listing.directories
    return Repositories(tree, frozenset(entries), complete and not todo)


def _list(path: str) -> _Listing | None:
    """List a directory, or return what we know of it: an entry changes its time of change, inode(7), for good."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    known = _known.get(path)
    if known is None or known.changed != status.st_ctime_ns or known.inode != status.st_ino:
        directories, complete = _directories(path)
        entries = tuple(_entries(path))
        if any(name == f"{path}/HEAD" for name, _ in entries):
            directories = ()
        known = _Listing(status.st_ino, status.st_ctime_ns, entries, directories, complete)
        if len(_known) >= _KNOWN_DIRECTORIES:
            _known.clear()
        _known[path] = known
    return known


def _entries(directory: str) -> Iterator[tuple[str, str]]:
    names = [".git"]
    if os.path.lexists(f"{directory}/HEAD") and any(
        all(os.path.lexists(f"{directory}/{name}") for name in others) for others in _BARE
    ):
        names.append("HEAD")
    for name in names:
        with contextlib.suppress(OSError):
            path = f"{directory}/{name}"
            mode = os.lstat(path).st_mode
            yield path, f"{_LINK}{os.readlink(path)}" if stat.S_ISLNK(mode) else f"{stat.S_IFMT(mode):o}"


def _directories(path: str) -> tuple[tuple[str, ...], bool]:
    names: list[str] = []
    try:
        with os.scandir(path) as entries:
            for number, entry in enumerate(entries):
                if number >= _MOST_ENTRIES:
                    return tuple(names), False
                if entry.name != ".git" and entry.is_dir(follow_symlinks=False):
                    names.append(entry.path)
    except OSError:
        return (), False  # a hook may have made it unreadable, but what is in it by name counts
    return tuple(sorted(names)), True


def set_aside(before: Repositories) -> tuple[str, ...]:
    """Give repositories that were not there before names that git does not know, in their directories.

    Call it when every process of the hook is dead. What is in them stays as it is, but a repository loses its ``HEAD``,
    without which git takes no directory for one. A link that was there before is made again.

    :param before: the return value of :func:`find` before the hook
    :return: the paths that had a repository, sorted
    :raises UntrustedResultError: we cannot rename one
    """
    limit = _MOST_NEW if before.complete else MOST_DIRECTORIES
    moved: list[str] = []
    for _ in range(_MOST_NESTED):
        new = {path for path, _ in find(before.tree, limit).entries - before.entries}
        if not new:
            _restore_links(before)
            return tuple(sorted(moved))
        # The deepest first, because a new name changes the paths beneath it.
        for path in sorted(new, key=len, reverse=True):
            _rename(before.tree, path)
        moved += new
    raise UntrustedResultError("a hook has left repositories of git in one another", before.tree)


def outgrown(before: Repositories) -> bool:
    """Return whether a hook has made more directories or entries than :func:`set_aside` looks through."""
    return before.complete and not find(before.tree, _MOST_NEW).complete


def _rename(tree: str, path: str) -> None:
    name = os.path.basename(path)
    aside = f"{name}.set-aside-{secrets.token_hex(4)}"
    try:
        with _parent(tree, path) as parent:
            os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)
            _behead(parent, aside)
    except OSError as error:
        reason = f"a repository of git that a hook has left cannot be renamed: {error.strerror}"
        raise UntrustedResultError(reason, path) from error


def _restore_links(before: Repositories) -> None:
    """Make the links again that a hook has removed or replaced, where the launcher could not hold them."""
    for path, what in before.entries:
        if what.startswith(_LINK):
            with contextlib.suppress(OSError), _parent(before.tree, path) as parent:
                os.symlink(what[len(_LINK) :], os.path.basename(path), dir_fd=parent)


def _behead(parent: int, name: str) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        with open_own_directory(parent, os.fsencode(name)) as fd, contextlib.suppress(FileNotFoundError):
            os.rename("HEAD", "HEAD.set-aside", src_dir_fd=fd, dst_dir_fd=fd)


@contextlib.contextmanager
def _parent(tree: str, path: str) -> Iterator[int]:
    """Open the directory of a path beneath a tree, name by name, and follow no link in the tree."""
    with contextlib.ExitStack() as stack:
        fd = os.open(tree, _FLAGS)
        stack.callback(os.close, fd)
        for name in path[len(tree) + 1 :].split("/")[:-1]:
            fd = stack.enter_context(open_own_directory(fd, os.fsencode(name)))
        yield fd
