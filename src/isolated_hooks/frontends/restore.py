"""Sets attributes and items for the duration of a context, and restores them at its end."""

from __future__ import annotations

import contextlib
from collections.abc import MutableMapping
from typing import Any, TypeVar

__all__ = ["Restoring"]

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_ABSENT: Any = object()


class Restoring(contextlib.ExitStack):
    """A context that restores, at its end, the attributes and items that were set through it, the last one first.

    It is a :class:`contextlib.ExitStack`, so callers can register other cleanup in the same order.
    """

    def attribute(self, owner: Any, name: str, value: object) -> None:
        """Set an attribute of a module, a class or an object.

        At the end of the context, an attribute that the owner merely inherited is deleted again. A descriptor is
        restored itself, not the value that it returns.

        :raises AttributeError: the owner has no attribute of that name, so no code would read the new value
        """
        if not hasattr(owner, name):
            raise AttributeError(f"{getattr(owner, '__name__', owner)!r} has no attribute {name!r} to set")
        before = vars(owner).get(name, _ABSENT)
        setattr(owner, name, value)
        if before is _ABSENT:
            self.callback(delattr, owner, name)
        else:
            self.callback(setattr, owner, name, before)

    def item(self, mapping: MutableMapping[_Key, _Value], key: _Key, value: _Value) -> None:
        """Set an item, of ``os.environ`` for instance. It need not exist yet; other code may remove it meanwhile."""
        before = mapping.get(key, _ABSENT)
        mapping[key] = value
        if before is _ABSENT:
            self.callback(mapping.pop, key, None)
        else:
            self.callback(mapping.__setitem__, key, before)
