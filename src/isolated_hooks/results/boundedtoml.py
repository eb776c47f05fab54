"""Parses a pyproject.toml of anybody's, with a bound on its size and on the parser's work."""

from __future__ import annotations

import re
import sys
from typing import Any

from ..errors import UntrustedResultError
from ..text import visible

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["MAX_PYPROJECT", "parse_toml"]

MAX_PYPROJECT = 512 << 10
# The parser takes a step for each part of a key or header, each part of the header above, and each line: up to 0.8
# microseconds each. The largest files of real projects have a twentieth of it.
_MAX_STEPS = 5_000_000
_BETWEEN_KEYS = re.compile(rb"[=,{}\[\]\n]")


def parse_toml(data: bytes) -> dict[str, Any]:
    """Return the document.

    :raises UntrustedResultError: it is too large, would take too long to parse, or is not TOML
    """
    if len(data) > MAX_PYPROJECT:
        raise UntrustedResultError(f"pyproject.toml must not be larger than {MAX_PYPROJECT} bytes", len(data))
    longest = max(part.count(b".") for part in _BETWEEN_KEYS.split(data))
    if (data.count(b".") + data.count(b"\n")) * longest > _MAX_STEPS:
        raise UntrustedResultError("pyproject.toml must not have keys of so many parts", longest + 1)
    try:
        return tomllib.loads(data.decode())
    except RecursionError:
        raise UntrustedResultError("pyproject.toml must not be nested so deeply") from None
    except ValueError as error:
        raise UntrustedResultError("pyproject.toml must be valid TOML", visible(str(error), limit=200)) from None
