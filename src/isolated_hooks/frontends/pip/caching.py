"""Keeps pip from its cache once a hook can write there: the hook would choose the pages and wheels of other packages.

CI services recommend a cache beneath the source tree. pip opens it before it runs any hook, so each use looks again.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from ...files.spelling import absolute
from ...files.steered import recorded_trees

__all__ = ["caching_seams"]


def caching_seams(*, keeps_wheels: bool = True) -> Iterator[tuple[Any, str, Any]]:
    """Yield each change to pip as an owner, the name of its attribute, and the new value.

    :param keeps_wheels: whether pip may keep the wheels that it builds, and use those that it has built
    :raises AttributeError, ImportError: this pip has another cache
    """
    pages: Any = importlib.import_module("pip._internal.network.cache").SafeFileCache
    wheels: Any = importlib.import_module("pip._internal.cache").Cache
    yield pages, "get", _missing(pages.get)
    if hasattr(pages, "get_body"):  # pip 23.1 and newer
        yield pages, "get_body", _missing(pages.get_body)
    yield wheels, "__getattribute__", _attribute if keeps_wheels else _attribute_of_none


def _is_steered(directory: object) -> bool:
    return isinstance(directory, str) and recorded_trees().steer(absolute(directory))


def _missing(get: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(get)
    def get_unsteered(self: Any, key: str) -> Any:
        return None if _is_steered(self.directory) else get(self, key)

    return get_unsteered


def _attribute(self: Any, name: str) -> Any:
    """Without this directory, pip neither looks for a wheel in it nor keeps one there until it is needed."""
    value = object.__getattribute__(self, name)
    return None if name == "cache_dir" and _is_steered(value) else value


def _attribute_of_none(self: Any, name: str) -> Any:
    return None if name == "cache_dir" else object.__getattribute__(self, name)
