"""Test many cases in one test, and name every case that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

__all__ = ["each"]

_Case = TypeVar("_Case")


def each(cases: Iterable[_Case], check: Callable[[_Case], None]) -> None:
    """Run a check on every case, and fail with the list of the cases that failed it.

    No cases at all are a failure too.
    """
    tried, failed = 0, []
    for case in cases:
        tried += 1
        try:
            check(case)
        except Exception as error:
            failed.append(f"{case!r}: {type(error).__name__}: {error}")
    assert tried, "there are no cases"
    if failed:
        pytest.fail(f"{len(failed)} of {tried} fail:\n" + "\n".join(failed), pytrace=False)
