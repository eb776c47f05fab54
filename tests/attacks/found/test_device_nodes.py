"""A mutant that no attack noticed: mounts that let device nodes work. A node of root's in the tree stays closed."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pyproject_hooks
import pytest
from support.projects import write_project

from isolated_hooks import IsolatedHookCaller

_OPENS = """
def get_requires_for_build_sdist(config_settings=None):
    try:
        found = str(open("node", "rb").read(1))
    except OSError as error:
        found = type(error).__name__
    open("found", "w").write(found)
    return []
"""


@pytest.mark.usefixtures("sandbox")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device node")
def test_a_device_node_in_the_tree_cannot_be_opened(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=_OPENS)
    os.mknod(project / "node", stat.S_IFCHR | 0o666, os.makedev(1, 5))  # as /dev/zero
    (project / "node").chmod(0o666)
    where = os.fspath(project)
    pyproject_hooks.BuildBackendHookCaller(
        where, "backend", ["."], python_executable=sys.executable
    ).get_requires_for_build_sdist()
    assert (project / "found").read_text() == r"b'\x00'"
    IsolatedHookCaller(where, "backend", ["."]).get_requires_for_build_sdist()
    assert (project / "found").read_text() == "PermissionError"
