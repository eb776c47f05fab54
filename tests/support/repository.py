"""Where things are in this repository, whatever directory a test is in."""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["FETCH_SDISTS", "FIXTURES", "NARROW", "ROOT", "TESTS", "not_sources"]

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
FIXTURES = ROOT / "fixtures"
# Programs that stand alone.
NARROW = TESTS / "support" / "narrow.py"
FETCH_SDISTS = TESTS / "support" / "fetch_sdists.py"

_NOT_SOURCES = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "dist", "*.so", "PKG-INFO")


def not_sources(directory: str, names: list[str]) -> set[str]:
    """Return what builds, tests and checks leave in a directory of this repository, for :func:`shutil.copytree`.

    A directory ``build`` beside a pyproject.toml was left by a build; elsewhere it is one of ours.
    """
    left = _NOT_SOURCES(directory, names)
    return {*left, "build"} if "pyproject.toml" in names else left
