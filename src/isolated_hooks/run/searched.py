"""Warns if the frontend's own search paths lead into a source tree: what it runs next is then a hook's choice.

The frontends that we ship change their search paths before the first hook, so this concerns other frontends.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Iterable, Mapping

from ..errors import IsolationDegradedWarning
from ..files.paths import RealFilesystem, is_within, resolve
from ..files.steered import trusted_directories
from ..text import visible

__all__ = ["warn_of_search_paths"]

_NAMES = ("PATH", "PYTHONPATH", "TMPDIR")
_warned: set[tuple[str, str]] = set()


def warn_of_search_paths(written: Iterable[str], environ: Mapping[str, str]) -> None:
    """Warn of the variables that lead into a tree, once for each value.

    :param written: the trees that the hook can write to
    :param environ: the frontend's environment
    """
    trees = {os.path.realpath(path) for path in written}
    for name in _NAMES:
        value = environ.get(name, "")
        steered = [entry for entry in value.split(":") if not trees.isdisjoint(_on_the_way(entry))]
        if steered and (name, value) not in _warned:
            _warned.add((name, value))
            warnings.warn(
                f"{name} names {visible(steered[0], limit=300)!r}, which a hook can write to, so a hook can choose "
                "what this frontend runs or loads next, outside of the sandbox. Remedy: take it out of the variable "
                "before the frontend starts",
                IsolationDegradedWarning,
                stacklevel=2,
            )


@functools.lru_cache(maxsize=256)
def _on_the_way(path: str) -> frozenset[str]:
    """Return the directories through which an absolute path leads, as they are when it is first asked for."""
    if not os.path.isabs(path):
        return frozenset()
    real, links = resolve(RealFilesystem(), path)
    if real is not None and any(is_within(real, os.path.realpath(kept)) for kept in trusted_directories()):
        return frozenset()
    passed = set()
    for end in (real or os.path.normpath(path), *links):
        while end not in passed:
            passed.add(end)
            end = os.path.dirname(end)
    return frozenset(passed)
