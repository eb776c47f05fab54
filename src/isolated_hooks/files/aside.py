"""A hidden directory beside what is to be replaced, for what is half-written; swept where nobody holds it any more."""

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
    """Make such a directory beneath an open one, give its descriptor, and remove it with all that is left in it."""
    name, fd = make_held(parent, temporary_name)
    try:
        yield fd
    finally:
        with contextlib.suppress(OSError):
            remove_tree(parent, name)
        os.close(fd)


def sweep_aside(parent: int) -> None:
    """Remove what killed processes of this user have left in an open directory."""
    with contextlib.suppress(OSError):
        for name in [name for name in os.listdir(parent) if _NAME.fullmatch(name)]:
            with contextlib.suppress(OSError), abandoned(parent, name):
                remove_tree(parent, name)
