"""Keeps this process, and each Python that it starts, from importing modules that a hook may have written.

``PYTHONPATH``, or an editable install of the project that is being built, puts directories of the source tree on
``sys.path``, or a finder that leads there into ``sys.meta_path``. Frontends import modules late, after the first hook.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..files.spelling import absolute
from ..files.steered import Trees, recorded_trees
from .restore import Restoring

__all__ = ["Imports", "python_flags", "trusted_path"]

# The entries that were dropped from sys.path, because each new interpreter has them again.
_dropped: set[str] = set()


class Imports(Restoring):
    """A context in which no module is imported from a tree that hooks of this process may write to."""

    def __enter__(self) -> Imports:
        super().__enter__()
        finder = _Guard()
        sys.meta_path.insert(0, finder)
        self.callback(sys.meta_path.remove, finder)
        return self

    def drop(self, trees: Trees) -> None:
        """Drop the entries of ``sys.path`` that lead into some trees, until the end of the context."""
        kept = trusted_path(trees)
        if len(kept) != len(sys.path):
            _dropped.update(sys.path)
            self.attribute(sys, "path", kept)
        if sys.pycache_prefix and trees.steer(absolute(sys.pycache_prefix)):
            self.attribute(sys, "pycache_prefix", None)


def trusted_path(trees: Trees) -> list[str]:
    """Return the entries of ``sys.path`` that do not lead into a tree. An empty one means the current directory."""
    return [entry for entry in sys.path if not trees.steer(absolute(entry))]


def python_flags(trees: Trees) -> list[str]:
    """Return the options with which the running interpreter starts another time outside the sandbox.

    ``-I`` ignores ``PYTHON*`` variables, the user's site-packages and the current directory. With an editable install
    of a tree, ``-S`` is necessary too: at its start, the interpreter would import ``sitecustomize``, and the modules
    that ``.pth`` and ``.start`` files name, from the tree.
    """
    paths = (*_dropped, *sys.path, *_origins())
    return ["-I", "-S"] if any(trees.steer(absolute(path)) for path in paths) else ["-I"]


def _origins() -> list[str]:
    origins = (getattr(module, "__file__", None) for module in [*sys.modules.values()])
    return [*{os.path.dirname(origin) for origin in origins if isinstance(origin, str)}]


class _Guard:
    """The first finder: it asks all others, and passes over what leads into a tree."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """:raises ModuleNotFoundError: only finders that lead into a tree know this module"""
        trees = recorded_trees()
        refused = False
        for finder in [other for other in sys.meta_path if other is not self]:
            find: Any = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None and not _is_steered(spec, trees):
                return spec
            refused |= spec is not None
        if refused:
            raise ModuleNotFoundError(f"No module named {name!r} outside of the source tree", name=name)
        return None


def _is_steered(spec: ModuleSpec, trees: Trees) -> bool:
    origins = [spec.origin] if spec.has_location and spec.origin else []
    return any(trees.steer(absolute(path)) for path in (*origins, *(spec.submodule_search_locations or ())))
