"""Has the rest of this package imported when it is first used, from where it would have come from at the start.

A program that imports this package need not call a hook, so most of it is imported with the first caller. Everything
that calls need is there before the first hook runs: :mod:`isolated_hooks.run.preloaded`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from _thread import get_ident
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__all__ = ["as_at_the_start", "steered_entry"]


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


_start = _working_directory()


@contextlib.contextmanager
def as_at_the_start() -> Iterator[None]:
    """Import within the context by the entries of ``sys.path``, where relative ones mean what they meant at the start.

    An empty entry means the current directory, and a frontend may have changed to the source tree since the start.
    """
    if all(map(os.path.isabs, sys.path)) or _working_directory() == _start:
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def steered_entry() -> str | None:
    """Return an entry of ``sys.path`` in which a hook of this process may have put a module, or ``None``."""
    steered = sys.modules.get("isolated_hooks.files.steered")  # otherwise there was no hook
    if steered is None:
        return None
    trees = steered.recorded_trees()
    return next((entry for entry in sys.path if trees.steer(os.path.abspath(entry))), None)


class _Finder:
    """The first finder, for one thread: it asks all others, and the one of ``sys.path`` about absolute directories."""

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """:raises ModuleNotFoundError: no finder knows this module"""
        if path is not None or get_ident() != self._thread:
            return None
        for other in [finder for finder in sys.meta_path if finder is not self]:
            find: Any = getattr(other, "find_spec", None)
            entries = _entries() if other is PathFinder else None
            spec: ModuleSpec | None = find(name, entries, target) if find is not None else None
            if spec is not None:
                return spec
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _entries() -> list[str]:
    start = [] if _start is None else [_start]
    return [os.path.join(*start, entry) for entry in sys.path if os.path.isabs(entry) or start]
