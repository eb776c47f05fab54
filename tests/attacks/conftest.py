"""What the tests of the hostile backend share."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from support.attacks.place import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place to run the backend in, whose TMPDIR holds every workspace."""
    made = Place(tmp_path)
    monkeypatch.setenv("TMPDIR", str(made.tmp))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return made
