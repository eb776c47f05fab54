"""Where things are in this repository, whatever directory a test is in."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FETCH_SDISTS", "FIXTURES", "NARROW", "ROOT", "TESTS"]

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
FIXTURES = ROOT / "fixtures"
# Programs that stand alone.
NARROW = TESTS / "support" / "narrow.py"
FETCH_SDISTS = TESTS / "support" / "fetch_sdists.py"
