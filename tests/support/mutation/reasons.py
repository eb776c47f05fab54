"""Why no attack notices a mutant: the reason of each survivor, by the part and a pattern of its name."""

from __future__ import annotations

import re

__all__ = ["REASONS", "reason_of"]

REASONS: tuple[tuple[str, str, str], ...] = ()


def reason_of(part: str, name: str) -> str:
    """Return the reason why a mutant survives, or an empty text."""
    return next((reason for of, pattern, reason in REASONS if of == part and re.fullmatch(pattern, name)), "")
