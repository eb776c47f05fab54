"""A plug-in of pytest: fromager's own tests run with its hook caller swapped, as ``isolated-hooks fromager`` swaps it.

pytest loads it with ``-p``, in the environment of :mod:`.lane`, where ``support`` is not importable.
"""

from __future__ import annotations

import contextlib

import pytest

from isolated_hooks import Policy
from isolated_hooks.frontends.fromager import swapped

_stack = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    _stack.enter_context(swapped(lambda _: Policy()))


def pytest_unconfigure(config: pytest.Config) -> None:
    _stack.close()
