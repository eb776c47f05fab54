"""What a hook changed in a tree: which names are new, changed or gone, found by descriptor and with bounded work.

A listing holds the inode and the ctime of each entry, which no process can set, inode(7). We look at the names that
other programs obey first, and say where we stopped.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import time
from collections.abc import Iterable, Iterator

from ..frozen import dataclass
from ..text import visible

__all__ = ["Listing", "TreeChanges", "changes_between", "changes_over", "list_tree"]

MAX_ENTRIES = 50_000
MAX_DEPTH = 64
MAX_SECONDS = 2.0
#: The most names that a report has of each kind.
MAX_NAMES = 200
_MAX_NAME = 300
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Programs obey these files when somebody next works in the tree: git, pytest, build frontends, CI services.
_OBEYED = frozenset(
    (
        *(b"conftest.py", b"pyproject.toml", b"setup.py", b"setup.cfg", b"tox.ini", b"noxfile.py", b".envrc"),
        *(b".github", b".gitlab-ci.yml", b".circleci", b".travis.yml", b"azure-pipelines.yml", b"Jenkinsfile"),
        *(b".pre-commit-config.yaml", b".gitmodules", b".gitattributes", b".cirrus.yml", b".woodpecker"),
    )
)
# Entries of the upper layer of an overlay, overlayfs(5).
_GONE = ("gone",)
_OPAQUE = b"user.overlay.opaque"

State = tuple[object, ...]


@dataclass(frozen=True)
class Listing:
    """What was in a tree at one moment.

    :ivar entries: the state of each entry, by its path
    :ivar read: the directories that were read to their end, by path; the top is empty
    :ivar cut: why the listing is not complete, or an empty text
    """

    entries: dict[bytes, State]
    read: frozenset[bytes]
    cut: str


@dataclass(frozen=True)
class TreeChanges:
    """What a hook changed in a source tree. The names are escaped; what other programs obey comes first.

    :ivar new: what was not there before; a directory ends with a slash
    :ivar changed: the files that the hook has written, replaced, or given another mode
    :ivar removed: what is gone
    :ivar counts: how many there are of each of these, because the lists are bounded
    :ivar cut: why something may be missing, or an empty text
    """

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    counts: tuple[int, int, int] = (0, 0, 0)
    cut: str = ""


class _Reader:
    def __init__(self, *, entries: int, seconds: float) -> None:
        self.entries: dict[bytes, State] = {}
        self.read: set[bytes] = set()
        self.cut = ""
        self._most = entries
        self._end = time.monotonic() + seconds

    def directory(self, fd: int, path: bytes, depth: int) -> None:
        with os.scandir(fd) as found:
            names = [os.fsencode(entry.name) for entry in itertools.islice(found, self._most - len(self.entries) + 1)]
        if len(names) > self._most - len(self.entries):
            self.cut = self.cut or f"there are more than {self._most} entries"
            names.pop()
        else:
            self.read.add(path)
        beneath = []
        for name in sorted(names, key=_rank):
            with contextlib.suppress(OSError):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                here = path + b"/" + name if path else name
                self.entries[here] = _state(status)
                if stat.S_ISDIR(status.st_mode):
                    beneath.append((name, here))
        for name, here in beneath:
            self._beneath(fd, name, here, depth + 1)

    def _beneath(self, fd: int, name: bytes, path: bytes, depth: int) -> None:
        if depth > MAX_DEPTH:
            self.cut = self.cut or f"a directory is deeper than {MAX_DEPTH} others"
        elif time.monotonic() > self._end:
            self.cut = self.cut or "it took too long"
        elif not path.endswith(b".git/objects"):  # there are many, and nothing obeys them by name
            try:
                below = os.open(name, _DIRECTORY, dir_fd=fd)
            except OSError:
                self.cut = self.cut or f"a directory cannot be read: {_shown(path)}"
                return
            try:
                if _is_opaque(below):
                    self.entries[path] = (*self.entries[path], "opaque")
                self.directory(below, path, depth)
            finally:
                os.close(below)


def list_tree(fd: int, *, entries: int = MAX_ENTRIES, seconds: float = MAX_SECONDS) -> Listing:
    """Return what is in an open directory and beneath it, as far as the bounds allow. We follow no link.

    :raises OSError: the directory itself cannot be read
    """
    reader = _Reader(entries=entries, seconds=seconds)
    reader.directory(fd, b"", 0)
    return Listing(reader.entries, frozenset(reader.read), reader.cut)


def changes_between(before: Listing, after: Listing) -> TreeChanges:
    """Return what changed in a tree between two listings."""
    new = [path for path in after.entries if path not in before.entries and _was_read(before, path)]
    removed = [path for path in before.entries if path not in after.entries and _was_read(after, path)]
    changed = [
        path
        for path, state in after.entries.items()
        if path in before.entries and state != before.entries[path] and not _both_directories(state, before, path)
    ]
    return _changes(
        [_named(path, after) for path in new], changed, [_named(path, before) for path in removed], before, after
    )


def changes_over(before: Listing, after: Listing, lower: int) -> TreeChanges:
    """Return what changed in an overlay between two listings of its upper layer.

    :param lower: a descriptor of the lower layer
    """
    new, changed, removed = [], [], []
    for path, state in after.entries.items():
        earlier = before.entries.get(path)
        if state == earlier:
            continue
        beneath = _kind_in(lower, path)
        if state == _GONE:
            removed.append(path + b"/" * (beneath == "directory"))
        elif state[0] == "directory":
            if earlier is None and beneath != "directory":
                new.append(path + b"/")
            elif "opaque" in state and (earlier is None or "opaque" not in earlier):
                changed.append(path + b"/")
        elif earlier == _GONE or (earlier is None and not beneath):
            new.append(path)
        else:
            changed.append(path)
    gone = (p for p, s in before.entries.items() if p not in after.entries and s != _GONE and _was_read(after, p))
    removed += [_named(path, before) for path in gone]
    return _changes(new, changed, removed, before, after)


def _changes(
    new: Iterable[bytes], changed: Iterable[bytes], removed: Iterable[bytes], before: Listing, after: Listing
) -> TreeChanges:
    kinds = [sorted(paths, key=lambda path: (_rank_of(path), path)) for paths in (new, changed, removed)]
    names = [tuple(_shown(path) for path in paths[:MAX_NAMES]) for paths in kinds]
    lengths = (len(kinds[0]), len(kinds[1]), len(kinds[2]))
    return TreeChanges(names[0], names[1], names[2], lengths, before.cut or after.cut)


def _state(status: os.stat_result) -> State:
    if stat.S_ISDIR(status.st_mode):
        return ("directory", stat.S_IMODE(status.st_mode))
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        return _GONE
    return (stat.S_IFMT(status.st_mode), status.st_dev, status.st_ino, status.st_ctime_ns)


def _both_directories(state: State, before: Listing, path: bytes) -> bool:
    # A directory changes whenever an entry of it does, which is told by itself.
    return state[0] == before.entries[path][0] == "directory"


def _is_opaque(fd: int) -> bool:
    try:
        return bool(os.getxattr(fd, _OPAQUE))
    except OSError:
        return False


def _was_read(listing: Listing, path: bytes) -> bool:
    """Return whether a listing would have an entry if it existed: the nearest directory in it was read to its end."""
    parent = os.path.dirname(path)
    while parent and parent not in listing.entries:
        parent = os.path.dirname(parent)
    return parent in listing.read


def _named(path: bytes, listing: Listing) -> bytes:
    return path + b"/" * (listing.entries[path][0] == "directory")


def _kind_in(top: int, path: bytes) -> str:
    """Return ``"directory"``, ``"other"``, or an empty text if nothing is at a path that no link is on the way to."""
    for here in _prefixes(path):
        try:
            mode = os.stat(here, dir_fd=top, follow_symlinks=False).st_mode
        except OSError:
            return ""
        if not stat.S_ISDIR(mode):
            return "other" if here == path else ""
    return "directory"


def _prefixes(path: bytes) -> Iterator[bytes]:
    parts = path.split(b"/")
    for number in range(1, len(parts) + 1):
        yield b"/".join(parts[:number])


def _rank(name: bytes) -> tuple[int, bytes]:
    return (0 if name.lower() == b".git" else 1 if name in _OBEYED else 2), name


def _rank_of(path: bytes) -> int:
    return min(_rank(part)[0] for part in path.rstrip(b"/").split(b"/"))


def _shown(path: bytes) -> str:
    return visible(os.fsdecode(path), limit=_MAX_NAME)
