"""The details of a call that somebody asked a report for: the tree before and after, and what the child told."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from ..files.changes import Listing, TreeChanges, changes_between, changes_over, list_tree
from ..plan import Plan
from ..results.details import Details, Usage
from ..text import visible
from .workspace import opened

__all__ = ["Observed"]

_MAX_NAME = 300


class Observed:
    """The source tree of a call, as it was before the hook.

    :param plan: the plan of the call
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._before = self._listing()

    def _listing(self) -> Listing | None:
        if self._plan.policy.source == "read-only":
            return Listing({}, frozenset(), "")
        with contextlib.suppress(OSError), opened(self._plan.changed) as fd:
            return list_tree(fd)
        return None

    def details(self, status: Mapping[str, Any]) -> Details:
        """Return the details, once every process of the sandbox is dead.

        :param status: what the child reported
        """
        home, usage, limit = status.get("home"), status.get("usage"), status.get("limit")
        return Details(
            tree=self._changes(),
            home=None if home is None else tuple(visible(os.fsdecode(name), limit=_MAX_NAME) for name in home),
            limits=(limit,) if limit else (),
            usage=None if usage is None else Usage(*usage),
        )

    def _changes(self) -> TreeChanges | None:
        after = self._listing()
        if self._before is None or after is None:
            return None
        if self._plan.discarded is None or not self._plan.discarded.overlay:
            return changes_between(self._before, after)
        with contextlib.suppress(OSError), opened(self._plan.source) as lower:
            return changes_over(self._before, after, lower)
        return None
