"""The examples in the pages of docs/, for tests that run or check them."""

from __future__ import annotations

import re

from .repository import ROOT

__all__ = ["code_block"]


def code_block(page: str, language: str, first: str) -> str:
    """Return the block of a page in that language that has that text in it; there has to be one alone."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(rf"\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)", text)
    (block,) = (block for block in blocks if first in block)
    return re.sub(r"^    ", "", block, flags=re.MULTILINE)
