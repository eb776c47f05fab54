"""Keeps this process from opening what a hook left under a name that the frontend uses: a way out, or a trap.

Frontends write files of their own into source trees, or read them there, after hooks have run. A link in the tree would
lead a write to any file of the user's, and a FIFO would stop the process for ever.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ..files.paths import RealFilesystem, resolve
from ..files.spelling import absolute
from ..files.steered import Trees, recorded_trees
from ..text import visible
from .restore import Restoring

__all__ = ["refusal", "refusal_of_change", "watching"]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Our own code opens with these flags, by descriptor.
_CAREFUL = os.O_NOFOLLOW | os.O_NONBLOCK | getattr(os, "O_PATH", 0)
# What changes a file or directory, by its audit event: the places of each path and of the descriptor that it starts at,
# and whether the change follows a link at the end of the path.
_CHANGES: dict[str, tuple[tuple[tuple[int, int], ...], bool]] = {
    "os.chmod": (((0, 2),), True),
    "os.chown": (((0, 3),), True),
    "os.link": (((0, 2), (1, 3)), False),
    "os.mkdir": (((0, 2),), False),
    "os.remove": (((0, 1),), False),
    "os.rename": (((0, 2), (1, 3)), False),
    "os.rmdir": (((0, 1),), False),
    "os.symlink": (((1, 2),), False),
    "os.truncate": (((0, 2),), True),
    "os.utime": (((0, 3),), True),
    "shutil.rmtree": (((0, 1),), False),
}


def refusal(trees: Trees, path: object, flags: int) -> str | None:
    """Return why a file must not be opened, or ``None``.

    :param trees: the source trees in which hooks have run
    :param path: the path in the audit event ``open``
    :param flags: the flags in that event
    """
    if flags & _CAREFUL or not isinstance(path, (str, bytes)):
        return None
    name = absolute(os.fsdecode(path))
    if flags & _WRITING:
        text = _refusal_of_write(trees, name)
        if text is not None:
            return text
    if trees.hold(name) and _blocks(name):
        return f"{visible(name)!r} is not a regular file, and a hook may have made it, so it is not opened"
    return None


def refusal_of_change(trees: Trees, event: str, args: tuple[Any, ...]) -> str | None:
    """Return why a file or directory must not be made, moved, changed or removed, or ``None``.

    :param event: the audit event; any other is ``None``
    :param args: its arguments
    """
    places, follows = _CHANGES.get(event, ((), False))
    for place, start in places:
        path = args[place]
        # Our own code and tarfile's filters start at a descriptor; -1 means the current directory.
        if not isinstance(path, (str, bytes, os.PathLike)) or (start < len(args) and args[start] not in (-1, None)):
            continue
        name = absolute(os.fsdecode(path))
        text = _refusal_of_write(trees, name if follows else os.path.dirname(name))
        if text is not None:
            return text
    return None


def _refusal_of_write(trees: Trees, name: str) -> str | None:
    link = _link_out_of(trees, name)
    if link is None:
        return None
    return (
        f"{visible(link)!r} leads out of the source tree, and a hook may have made this link, so nothing is "
        "written through it. Remedy: choose a file outside of the source tree"
    )


def _link_out_of(trees: Trees, name: str) -> str | None:
    """Return the link in a source tree that takes a path out of the tree, or ``None``."""
    _, links = resolve(RealFilesystem(), name)
    inside = [link for link in links if trees.hold(link)]
    real = os.path.realpath(name) if inside else name
    return inside[0] if inside and not trees.hold(real) else None


def _blocks(name: str) -> bool:
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


@contextlib.contextmanager
def watching(refused: Callable[[str], Exception]) -> Iterator[None]:
    """Raise an error within the context, in place of opening such a file in a tree that hooks of this process write to.

    :param refused: makes the error from its text
    """
    with Restoring() as changes:
        changes.attribute(_the_watch(), "refused", refused)
        yield


class _Watch:
    def __init__(self) -> None:
        self.refused: Callable[[str], Exception] | None = None
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.refused is None:
            return
        trees = recorded_trees()
        text = refusal(trees, args[0], args[2]) if event == "open" else refusal_of_change(trees, event, args)
        if text is not None:
            raise self.refused(text)


@functools.cache
def _the_watch() -> _Watch:
    return _Watch()  # only one per process, because Python cannot remove an audit hook
