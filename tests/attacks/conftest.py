"""Fixtures for the tests that run the hostile backend."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from support.attacks.place import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place to run the backend. Its TMPDIR holds every workspace."""
    new_place = Place(tmp_path)
    monkeypatch.setenv("TMPDIR", str(new_place.tmp))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return new_place
