"""Choose the cases of a parametrized test that are in the fast lane. The others get the mark ``slow``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest

__all__ = ["fast", "first_fast"]


def first_fast(cases: Iterable[Any], number: int = 1) -> list[Any]:
    """Return the cases, with all but the first ones marked ``slow``.

    :param number: the number of cases in the fast lane
    """
    return [case if at < number else _slow(case) for at, case in enumerate(cases)]


def fast(cases: Iterable[str], names: Collection[str]) -> list[Any]:
    """Return the cases, with all but the named ones marked ``slow``."""
    chosen = list(cases)
    assert {*names} <= {*chosen}, "no such case"
    return [case if case in names else _slow(case) for case in chosen]


def _slow(case: Any) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
