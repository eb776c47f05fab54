"""Closes in each fork of this process, such as a worker of a pool, what has to be open in this process alone."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["close_in_forks"]


class _Held(Protocol):
    def close_copy(self) -> None:
        """Close what a fork has inherited."""


_held: weakref.WeakSet[_Held] = weakref.WeakSet()


def close_in_forks(thing: _Held) -> None:
    """Have each later fork of this process close its copy of a thing, as long as the thing exists."""
    _held.add(thing)


def _close_copies() -> None:
    for thing in [*_held]:
        thing.close_copy()


os.register_at_fork(after_in_child=_close_copies)
