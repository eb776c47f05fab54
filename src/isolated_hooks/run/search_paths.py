"""Warnings about a frontend whose own environment leads into a tree that hooks may write to.

The class cannot change what a frontend does between two hooks. Such a frontend starts, imports or reads next what a
hook has put there, outside any sandbox.
"""

from __future__ import annotations

import functools
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence

from ..errors import WritablePathWarning
from ..files.paths import RealFilesystem, is_within, resolve
from ..files.spelling import normal
from ..text import visible

__all__ = ["warn_of_search_paths"]

# Each variable, what happens, and what to do about it.
_EFFECTS = {
    "PATH": "a program that the frontend starts by its name may be one that a hook wrote: remove the entry",
    "PYTHONPATH": "the next Python that the frontend starts imports what a hook wrote: remove the entry",
    "LD_LIBRARY_PATH": "the next program that the frontend starts loads what a hook wrote: remove the entry",
    "TMPDIR": "a hook can change the frontend's own temporary files: set it to a directory outside of the source tree",
}
_warned: set[tuple[str, str]] = set()


def warn_of_search_paths(source: str, trees: Sequence[str], kept: Sequence[str]) -> None:
    """Warn of each entry of the frontend's search paths that a hook may write to, once in the life of this process.

    :param source: the source tree, in which some frontends start programs
    :param trees: the real paths of the trees that the hook may write to
    :param kept: directories that the sandbox keeps read-only even there
    """
    for variable, entry in _writable(_settings(), _working_directory(), source, tuple(trees), tuple(kept)):
        if (variable, entry) not in _warned:
            _warned.add((variable, entry))
            text = f"{variable} names {visible(entry or '.')!r}, where hooks may write, so {_EFFECTS[variable]}"
            warnings.warn(text, WritablePathWarning, stacklevel=2)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"  # it is gone, so no entry leads anywhere from there


def _settings() -> tuple[tuple[str, str], ...]:
    lists = [(name, os.environ[name]) for name in _EFFECTS if name != "TMPDIR" and os.environ.get(name)]
    try:
        return *lists, ("TMPDIR", tempfile.gettempdir())
    except OSError:
        return tuple(lists)  # the workspace raises the error


@functools.lru_cache(maxsize=32)
def _writable(
    settings: tuple[tuple[str, str], ...], cwd: str, source: str, trees: tuple[str, ...], kept: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Return the variables and entries that lead into a tree. A link outside of the trees stays what it is."""
    kept = tuple(map(os.path.realpath, kept))
    entries = []
    for variable, value in settings:
        for entry in dict.fromkeys([value] if variable == "TMPDIR" else value.split(":")):
            # A frontend's runner may start programs in the source tree, so there an empty entry means the tree.
            places = {os.path.join(directory, entry) for directory in (cwd, source)}
            leads = [path for place in places for path in _on_the_way(place)]
            if any(is_within(p, tree) for p in leads for tree in trees if not any(is_within(p, k) for k in kept)):
                entries.append((variable, entry))
    return tuple(entries)


def _on_the_way(path: str) -> Iterator[str]:
    """Yield a path, its real path, and the links on the way: a hook that may write to one of them decides."""
    yield normal(path)
    yield os.path.realpath(path)
    yield from resolve(RealFilesystem(), path)[1]
