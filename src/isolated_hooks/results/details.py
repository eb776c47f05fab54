"""What a detailed report says of a hook besides its result: what it left and changed, and what it used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..files.changes import TreeChanges
from ..frozen import dataclass

__all__ = ["Details", "Usage"]


@dataclass(frozen=True)
class Usage:
    """What all processes of a sandbox used together, getrusage(2).

    :ivar user: seconds of processor time in user mode
    :ivar system: seconds of processor time in the kernel
    :ivar max_rss: the largest resident set of one process, in bytes
    """

    user: float
    system: float
    max_rss: int


@dataclass(frozen=True)
class Details:
    """The details of one hook.

    :ivar tree: what the hook changed in the source tree; ``None`` if we could not look
    :ivar home: the names that it left in its HOME, escaped, at most 200; ``None`` if it was killed before we could look
    :ivar limits: the limits that it met
    :ivar usage: what it used; ``None`` if nobody could measure it
    """

    tree: TreeChanges | None = None
    home: tuple[str, ...] | None = None
    limits: tuple[str, ...] = ()
    usage: Usage | None = None

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Details:
        """Return the details that ``dataclasses.asdict`` has made a mapping of, possibly after a trip through JSON."""
        tree, usage, home = document["tree"], document["usage"], document["home"]
        fields: dict[str, Any] = {name: v if name == "cut" else tuple(v) for name, v in (tree or {}).items()}
        return cls(
            tree=None if tree is None else TreeChanges(**fields),
            home=None if home is None else tuple(home),
            limits=tuple(document["limits"]),
            usage=None if usage is None else Usage(**usage),
        )
