"""The pages of ``docs/reference`` that are made from the code, and the picture of a call.

    python -m support.reference [--check]      # in tests/

``--check`` changes nothing, prints the pages that would change, and exits with 1 if there are any.
"""

from __future__ import annotations

from pathlib import Path

from . import api, commands, errors, schemas
from .picture import picture
from .text import COMMAND

__all__ = ["COMMAND", "PLACE", "pages"]

PLACE = Path(__file__).parents[3] / "docs/reference"


def pages() -> dict[Path, str]:
    """Return the text of each page."""
    found = {"api.rst": api.page(), "errors.rst": errors.page(), "schemas.rst": schemas.page(), **commands.pages()}
    pages = {PLACE / name: text for name, text in found.items()}
    return {**pages, PLACE.parent / "explanation/call.svg": picture()}
