"""Parses a pyproject.toml of anybody's, with a bound on its size and on the parser's work."""

from __future__ import annotations

from typing import Any

from ..errors import UntrustedResultError
from ..files import documents
from ..text import visible

__all__ = ["MAX_PYPROJECT", "parse_toml"]

MAX_PYPROJECT = 512 << 10


def parse_toml(data: bytes) -> dict[str, Any]:
    """Return the document.

    :raises UntrustedResultError: it is too large, would take too long to parse, or is not TOML
    """
    if len(data) > MAX_PYPROJECT:
        raise UntrustedResultError(f"pyproject.toml must not be larger than {MAX_PYPROJECT} bytes", len(data))
    try:
        return documents.parse_toml(data)
    except ValueError as error:
        raise UntrustedResultError("pyproject.toml must be valid TOML", visible(str(error), limit=200)) from None
