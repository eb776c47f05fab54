"""The commands of docs/howto/run.rst, with the real tools from the index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import pytest
from support.consoles import commands_of, mistakes
from support.projects import cannot_run
from support.repository import FIXTURES, ROOT, not_sources

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.corpus, pytest.mark.network]

PAGE = (ROOT / "docs/howto/run.rst").read_text(encoding="utf-8")


def test_uv_and_tox_run_in_the_sandbox(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    venv.create(tools, with_pip=True, symlinks=True)
    argv = [tools / "bin/python", "-m", "pip", "install", "-q", "uv", "tox"]
    done = subprocess.run(argv, capture_output=True, check=False, text=True)
    if done.returncode:
        cannot_run(f"uv and tox cannot be installed: {done.stderr}")
    shutil.copytree(FIXTURES / "thief", tmp_path / "thief", ignore=not_sources)
    (block,) = re.findall(r"code-block:: ini\n\n((?:    .*\n)+)", PAGE)
    (tmp_path / "thief/tox.ini").write_text(textwrap.dedent(block))
    ours = os.path.dirname(sys.executable)
    environ = {"PATH": f"{tools}/bin:{ours}:/usr/bin:/bin", "HOME": os.fspath(tmp_path), "LANG": "C.UTF-8"}
    assert mistakes(commands_of(PAGE), tmp_path, {**environ, "GITHUB_TOKEN": "example-token"}) == []
