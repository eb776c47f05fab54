"""Which cases of a parametrized test are in the fast lane. All others are marked ``slow``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest

__all__ = ["fast", "first_fast"]


def first_fast(cases: Iterable[Any], number: int = 1) -> list[Any]:
    """Return the cases, the first of them in the fast lane.

    :param number: how many are in the fast lane
    """
    return [case if at < number else _slow(case) for at, case in enumerate(cases)]


def fast(cases: Iterable[str], names: Collection[str]) -> list[Any]:
    """Return the cases, those with these names in the fast lane."""
    chosen = list(cases)
    assert {*names} <= {*chosen}, "no such case"
    return [case if case in names else _slow(case) for case in chosen]


def _slow(case: Any) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
