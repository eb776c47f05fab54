"""A frontend whose search paths lead into the source tree is warned."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from isolated_hooks import IsolationDegradedWarning
from isolated_hooks.run import searched


def test_it_warns_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searched, "_warned", set())
    environ = {"PATH": f"/usr/bin:{tmp_path}/.venv/bin", "TMPDIR": "/tmp", "OTHER": str(tmp_path)}
    with pytest.warns(IsolationDegradedWarning, match="PATH names"):
        searched.warn_of_search_paths([str(tmp_path)], environ)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        searched.warn_of_search_paths([str(tmp_path)], environ)
        searched.warn_of_search_paths([str(tmp_path / "other")], {**environ, "PATH": "/usr/bin"})
