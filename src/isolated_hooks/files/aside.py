"""Hidden directories for half-written files, next to the files that they replace. We sweep those that nobody holds."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

from .entries import TEMPORARY_PREFIX, temporary_name
from .held import abandoned, make_held
from .trees import remove_tree

__all__ = ["aside", "sweep_aside"]

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
    """Remove the hidden directories that killed processes of this user left in an open directory."""
    with contextlib.suppress(OSError):
        for name in [name for name in os.listdir(parent) if _NAME.fullmatch(name)]:
            with contextlib.suppress(OSError), abandoned(parent, name):
                remove_tree(parent, name)
