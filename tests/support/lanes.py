"""Which cases of a test are in the fast lane."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["first_fast"]


def first_fast(cases: Iterable[Any], number: int = 1) -> list[Any]:
    """Return the cases of a parametrized test: the first in the fast lane, all others marked ``slow``.

    :param number: how many are in the fast lane
    """
    chosen = []
    for at, case in enumerate(cases):
        values = case if isinstance(case, tuple) else (case,)
        chosen.append(case if at < number else pytest.param(*values, marks=pytest.mark.slow))
    return chosen
