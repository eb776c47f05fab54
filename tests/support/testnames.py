"""Look up tests by the names that the documentation uses."""

from __future__ import annotations

import ast
import functools

from support.repository import ROOT

__all__ = ["exists"]


def exists(test: str) -> bool:
    """Say whether there is such a test.

    :param test: its name as pytest has it, without parameters: ``tests/path.py::test_name``
    """
    path, _, name = test.partition("::")
    return name in _names(path)


@functools.cache
def _names(path: str) -> frozenset[str]:
    if not (ROOT / path).is_file():
        return frozenset()
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
