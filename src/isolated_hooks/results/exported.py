"""What this process has exported: later hooks must not change an artefact that the frontend has yet to use.

A frontend opens an artefact by its path, often after further hooks have run. If that path lies in a tree that such a
hook may write to, the sandbox shows the artefact read-only there, and we compare it before and after the hook. Without
a mount namespace the comparison alone holds: then the call fails.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping

from ..errors import UntrustedResultError
from ..files.paths import is_within
from ..frozen import dataclass

__all__ = ["Kept", "check_kept", "exported_in", "remember", "snapshot"]

# A frontend exports a handful of artefacts into a source tree. The bounds are for one that builds without end.
_MAX_DIRECTORIES = 256
_MAX_NAMES = 256
_exported: dict[str, dict[str, int]] = {}  # the number of the export of each name, by directory
_numbers = itertools.count()
_lock = threading.Lock()

State = tuple[int, ...]


def remember(directory: str, names: Iterable[str]) -> None:
    """Note that we have exported these entries.

    :param directory: the real path of the output directory
    """
    with _lock:
        entries = _exported.pop(directory, {})
        for name in names:
            entries.pop(name, None)
            entries[name] = next(_numbers)
        while len(entries) > _MAX_NAMES:
            del entries[next(iter(entries))]
        _exported[directory] = entries
        while len(_exported) > _MAX_DIRECTORIES:
            del _exported[next(iter(_exported))]


def exported_in(trees: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of the exported artefacts that are in one of some trees, and still there.

    :param trees: real paths
    """
    trees = tuple(trees)
    with _lock:
        directories = [(d, tuple(names)) for d, names in _exported.items() if any(is_within(d, t) for t in trees)]
    paths = (os.path.join(directory, name) for directory, names in directories for name in names)
    return tuple(path for path in paths if _is_plain(path))


@dataclass(frozen=True)
class Kept:
    """The state of an artefact at one moment.

    :ivar number: the number of its export; another thread may export it again
    :ivar states: the state of the file, or of everything in the directory, by path
    """

    number: int | None
    states: Mapping[str, State]


def snapshot(trees: Iterable[str]) -> Mapping[str, Kept]:
    """Return the state of every exported artefact in some trees, to compare it after the next hook."""
    return {path: Kept(_number(path), dict(_states(path))) for path in exported_in(trees)}


def check_kept(before: Mapping[str, Kept]) -> None:
    """Check that a hook has left the exported artefacts alone. Call it when every process of the sandbox is dead.

    :param before: the result of :func:`snapshot`, from before the hook
    :raises UntrustedResultError: an artefact was changed, replaced or removed
    """
    for path, kept in before.items():
        if dict(_states(path)) != kept.states and _number(path) == kept.number:
            raise UntrustedResultError("a hook must not change what an earlier hook has built", path)


def _number(path: str) -> int | None:
    with _lock:
        return _exported.get(os.path.dirname(path), {}).get(os.path.basename(path))


def _is_plain(path: str) -> bool:
    """Return whether a path, without a link anywhere, is a regular file or a directory."""
    try:
        mode = os.lstat(path).st_mode
        return (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and os.path.realpath(path) == path
    except OSError:
        return False


def _states(top: str) -> Iterator[tuple[str, State]]:
    """Yield the state of a file, or of a directory and all beneath it. No process can set the ctime, inode(7)."""
    todo = [top]
    while todo:
        path = todo.pop()
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            yield path, (status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_ctime_ns)
            if stat.S_ISDIR(status.st_mode):
                todo += (os.path.join(path, name) for name in os.listdir(path))
