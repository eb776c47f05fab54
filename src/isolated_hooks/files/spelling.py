"""One spelling for each path: as text, without a look at the file system."""

from __future__ import annotations

import os

__all__ = ["absolute", "normal"]


def normal(path: str) -> str:
    """Return a path as :func:`os.path.normpath` does, without a second slash at its start.

    POSIX lets ``//name`` name something else than ``/name``, so that function keeps it. Linux knows no such difference.
    """
    path = os.path.normpath(path)
    return path[1:] if path.startswith("//") else path


def absolute(path: str | os.PathLike[str]) -> str:
    """Return a path as :func:`os.path.abspath` does, without a second slash at its start: see :func:`normal`."""
    text = os.path.abspath(path)
    return text[1:] if text.startswith("//") else text
