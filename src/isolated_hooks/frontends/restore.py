"""Attributes and items that are set for the time of a context, and put back at its end as they were."""

from __future__ import annotations

import contextlib
from collections.abc import MutableMapping
from typing import Any, TypeVar

__all__ = ["Restoring"]

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_ABSENT: Any = object()


class Restoring(contextlib.ExitStack):
    """A context in which attributes and items are set, and at whose end they are put back, the last one first.

    It is an :class:`contextlib.ExitStack`, for what else has to end in between.
    """

    def attribute(self, owner: Any, name: str, value: object) -> None:
        """Set an attribute of a module, a class or an object.

        What only a base class has is uncovered again, and a descriptor is put back, not what it gives.

        :raises AttributeError: there is none of that name; nothing would read the new one
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
        """Set an item, of ``os.environ`` for instance, that may be missing. Whoever else removes it is not minded."""
        before = mapping.get(key, _ABSENT)
        mapping[key] = value
        if before is _ABSENT:
            self.callback(mapping.pop, key, None)
        else:
            self.callback(mapping.__setitem__, key, before)
