"""One test for many cases that a loop can try: what fails is named, all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

__all__ = ["each"]

_Case = TypeVar("_Case")


def each(cases: Iterable[_Case], check: Callable[[_Case], None]) -> None:
    """Try a check on every case, and fail with all cases that fail it. There has to be one."""
    tried, failed = 0, []
    for case in cases:
        tried += 1
        try:
            check(case)
        except Exception as error:
            failed.append(f"{case!r}: {type(error).__name__}: {error}")
    assert tried, "there is nothing to try"
    if failed:
        pytest.fail(f"{len(failed)} of {tried} fail:\n" + "\n".join(failed), pytrace=False)
