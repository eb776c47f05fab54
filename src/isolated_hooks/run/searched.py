"""Warns if the frontend's own search paths lead into a source tree: what it runs next is then a hook's choice.

The frontends that we ship change their search paths before the first hook, so this concerns other frontends.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping

from ..errors import IsolationDegradedWarning
from ..files.steered import Trees
from ..text import visible

__all__ = ["warn_of_search_paths"]

_NAMES = ("PATH", "PYTHONPATH", "TMPDIR")
_warned: set[tuple[str, str]] = set()


def warn_of_search_paths(written: Iterable[str], environ: Mapping[str, str]) -> None:
    """Warn of the variables that lead into a tree, once for each value.

    :param written: the trees that the hook can write to
    :param environ: the frontend's environment
    """
    new = [(name, environ[name]) for name in _NAMES if environ.get(name)]
    new = [pair for pair in new if pair not in _warned]
    if not new:
        return
    trees = Trees(written)
    for name, value in new:
        steered = [entry for entry in value.split(":") if os.path.isabs(entry) and trees.steer(entry)]
        if steered:
            _warned.add((name, value))
            warnings.warn(
                f"{name} names {visible(steered[0], limit=300)!r}, which a hook can write to, so a hook can choose "
                "what this frontend runs or loads next, outside of the sandbox. Remedy: take it out of the variable "
                "before the frontend starts",
                IsolationDegradedWarning,
                stacklevel=2,
            )
