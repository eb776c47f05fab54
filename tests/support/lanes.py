"""Choose the cases of a parametrized test that are in the fast lane. The others get a mark, ``slow`` or ``nightly``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import pytest
from _pytest.mark import ParameterSet

__all__ = ["fast", "first_fast"]

_Case = TypeVar("_Case")


def first_fast(cases: Iterable[Any], number: int = 1) -> list[Any]:
    """Return the cases, with all but the first ones marked ``slow``.

    :param number: the number of cases in the fast lane
    """
    return [case if at < number else _slow(case) for at, case in enumerate(cases)]


def fast(cases: Iterable[_Case], names: Collection[_Case], *, slow: Collection[_Case] | None = None) -> list[Any]:
    """Return the cases, with all but the named ones marked ``slow``.

    :param names: the cases in the fast lane
    :param slow: the cases to mark ``slow``, if the rest is to run at night alone
    """
    chosen = list(cases)
    assert {*names, *(slow or ())} <= {*chosen}, "no such case"
    return [
        case if case in names else _slow(case) if slow is None or case in slow else _nightly(case) for case in chosen
    ]


def _slow(case: Any) -> Any:
    return _marked(case, pytest.mark.slow)


def _nightly(case: Any) -> Any:
    return _marked(case, pytest.mark.nightly)


def _marked(case: Any, mark: pytest.MarkDecorator) -> Any:
    if isinstance(case, ParameterSet):
        return pytest.param(*case.values, marks=(*case.marks, mark), id=case.id)
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=mark)
