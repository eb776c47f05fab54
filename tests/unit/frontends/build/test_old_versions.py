"""Versions of build that lack something."""

from __future__ import annotations

import build.__main__
import pytest

from isolated_hooks import PolicyError
from isolated_hooks.frontends.build import check_takes_sdists


def test_a_build_that_takes_no_sdist_is_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.__main__, "_extract_sdist", object(), raising=False)
    check_takes_sdists()
    monkeypatch.delattr(build.__main__, "_extract_sdist")
    with pytest.raises(PolicyError, match=r"builds no sdists \(expected 1.6 or newer\). Remedy: install a newer build"):
        check_takes_sdists()
