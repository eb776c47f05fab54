"""The new root remembers its own directories, and never one that a mount has covered since."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("sandbox")

_CODE = """
import os, sys
from isolated_hooks.sandbox.root import Root

path = os.fsencode(sys.argv[1])
root = Root(path, trees={}, uid=0, gid=0, mapped=True, degradations=None)
root.write(b"/a/b/before", b"")
os.close(root.mount(b"tmpfs", b"/a", 0))
root.write(b"/a/b/within", b"")
root.link(b"/a/link", b"b")
print(sorted(os.listdir(path + b"/a")), sorted(os.listdir(path + b"/a/b")))
"""


def test_what_is_made_after_a_mount_lies_in_that_mount(tmp_path: Path) -> None:
    command = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
    done = subprocess.run(
        [*command, sys.executable, "-c", _CODE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[b'b', b'link'] [b'within']\n", done.stderr
    assert os.listdir(tmp_path / "a/b") == ["before"]
