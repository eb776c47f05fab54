"""What a hook tries through pid 1, which opens paths for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.attacks.place import quiet
from support.fakes import no_hang

from isolated_hooks import IsolatedHookCaller
from isolated_hooks.files.paths import RealFilesystem
from isolated_hooks.plan.git import obeyed_paths

pytestmark = pytest.mark.usefixtures("sandbox")

_BACKEND = """
import json, os

def get_requires_for_build_wheel(config_settings=None):
    os.path.lexists("link") or os.symlink("/proc/self/fd/1", "link")
    found = {}
    for path in (config_settings["path"], "link", "/proc/self/cwd"):
        try:
            os.chmod(path, 0o2700)
            found[path] = ""
        except OSError as error:
            found[path] = error.strerror
    return [f"r{number}" for number, error in enumerate(found.values()) if not error]
"""


def test_no_path_leads_to_what_pid_1_has_open(tmp_path: Path) -> None:
    """Its executable lies on a mount that the sandbox does not show, so the hook could change the mode of that."""
    (tmp_path / "backend.py").write_text(_BACKEND)
    (tmp_path / "victim").write_text("")
    bare: Any = {"path": str(tmp_path / "victim")}
    hooks = pyproject_hooks.BuildBackendHookCaller(os.fspath(tmp_path), "backend", ["."], quiet)
    assert "r0" in hooks.get_requires_for_build_wheel(bare)
    inside: Any = {"path": "/proc/1/fd/1"}
    caller = IsolatedHookCaller(os.fspath(tmp_path), "backend", ["."], quiet)
    assert caller.get_requires_for_build_wheel(inside) == ["r1", "r2"]


@pytest.mark.parametrize("text", ["\n", "[\n", " ", "path = a "])
def test_no_configuration_of_a_repository_holds_up_the_frontend(text: str, tmp_path: Path) -> None:
    """A tree comes with any content; each blank line was looked at once for each line above it, for minutes."""
    config = (text * 65536)[:65535]
    (tmp_path / "config").write_text(config)
    with no_hang():
        assert len(list(obeyed_paths(RealFilesystem(), os.fspath(tmp_path)))) <= 2
