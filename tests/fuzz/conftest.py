"""The directory of the properties is removed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.properties import remove_scratch


@pytest.fixture(scope="session", autouse=True)
def scratch_removed() -> Iterator[None]:
    """Remove the directory in each worker that ran a property."""
    yield
    remove_scratch()
