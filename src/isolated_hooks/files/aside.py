"""Hidden directories for half-written files, next to the files that they replace. We sweep those that nobody holds."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator

from .entries import TEMPORARY_PREFIX, temporary_name
from .held import abandoned, make_held
from .trees import remove_tree

__all__ = ["aside", "sweep_aside"]

_MAX_NAMES = 20_000
_NAME = re.compile(re.escape(TEMPORARY_PREFIX) + "[0-9a-f]{32}")


@contextlib.contextmanager
def aside(parent: int) -> Iterator[int]:
    """Make a hidden directory beneath an open one and yield its descriptor. At the end, remove it and all its files."""
    name, fd = make_held(parent, temporary_name)
    try:
        yield fd
    finally:
        with contextlib.suppress(OSError):
            remove_tree(parent, name)
        os.close(fd)


def sweep_aside(parent: int) -> None:
    """Remove the hidden directories that killed processes of this user left in an open directory.

    We look at the first names alone: the directory may lie in a source tree, where hooks make as many as they like.
    """
    with contextlib.suppress(OSError):
        with os.scandir(parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, _MAX_NAMES) if _NAME.fullmatch(entry.name)]
        for name in names:
            with contextlib.suppress(OSError), abandoned(parent, name):
                remove_tree(parent, name)
