"""The error for a program that a command needs and that is not installed."""

from __future__ import annotations

import sys

from ..errors import PolicyError
from ..text import visible

__all__ = ["without_build"]


def without_build(problem: ImportError) -> PolicyError:
    """Return the error for a command that needs build."""
    return PolicyError(
        f"cannot import build into {visible(sys.executable)}: {visible(str(problem))}. Remedy: install build 1.3 or "
        "newer in the same environment as isolated-hooks"
    )
