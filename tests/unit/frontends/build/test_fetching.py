"""Which uv is run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from isolated_hooks.files.steered import Trees
from isolated_hooks.frontends.build import fetching
from isolated_hooks.frontends.build.installation import RequirementsError


@pytest.mark.skipif(importlib.util.find_spec("uv") is not None, reason="uv is installed beside this Python")
def test_a_uv_in_a_source_tree_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``.venv/bin/uv`` of an activated environment in the tree: a hook may have written it."""
    program = tmp_path / ".venv" / "bin" / "uv"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    assert fetching._uv() == str(program)
    monkeypatch.setattr("isolated_hooks.files.steered._recorded", Trees((str(tmp_path),)))
    with pytest.raises(RequirementsError, match="lies in a source tree"):
        fetching._uv()
