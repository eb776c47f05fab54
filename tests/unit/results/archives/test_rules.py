"""What both formats of archives have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from isolated_hooks import UntrustedResultError
from isolated_hooks.results.archives.rules import read_exactly


def test_a_file_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    """It may have been cut after its size was looked at. Reading on would never end."""
    path = tmp_path / "archive"
    path.write_bytes(b"some data")
    with path.open("rb") as file:
        assert read_exactly(file.fileno(), 4, 5) == b"data"
        with pytest.raises(UntrustedResultError, match="must not end before"):
            read_exactly(file.fileno(), 5, 5)
