"""Managers of programs that keep a home of their own: which parts of it their programs on ``PATH`` need.

Their programs find that home by a variable, or else beneath ``HOME``, which is another directory for a hook. So a hook
gets the variable, with the caller's directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from ..files.paths import Filesystem

__all__ = ["LAYOUTS", "Layout", "layout_of", "user_sites"]


class Layout(NamedTuple):
    """How a manager lays out its home.

    :ivar directory: the name of the directory on ``PATH``
    :ivar mark: what lies beside it, by which we know the manager
    :ivar parts: what its programs need besides the directory, of its home
    :ivar variables: the variables that name its home
    """

    directory: str
    mark: str
    parts: tuple[str, ...]
    variables: tuple[str, ...] = ()


# The first row that fits counts. Sources: the documentation of each, and "Homebrew's layout", docs.brew.sh.
LAYOUTS = (
    Layout("shims", "libexec/pyenv", ()),  # see search_path.py
    Layout(
        "shims", "asdf.sh", ("bin", "defaults", "installs", "lib", "libexec", "plugins"), ("ASDF_DIR", "ASDF_DATA_DIR")
    ),
    Layout("shims", "installs", ("installs", "plugins"), ("ASDF_DATA_DIR", "MISE_DATA_DIR")),
    Layout("bin", "bin/volta-shim", ("tools", "hooks.json"), ("VOLTA_HOME",)),
    Layout("bin", "Cellar", ("Cellar", "opt", "Frameworks")),
    Layout("bin", "candidates", ("candidates",), ("SDKMAN_DIR",)),
)


def layout_of(filesystem: Filesystem, entry: str) -> Layout | None:
    """Return the layout to which a directory on ``PATH`` belongs."""
    prefix, name = os.path.split(entry)
    rows = (row for row in LAYOUTS if row.directory == name)
    return next((row for row in rows if filesystem.kind(f"{prefix}/{row.mark}") is not None), None)


def user_sites(filesystem: Filesystem, base: str) -> Iterator[str]:
    """Yield the directories into which ``pip install --user`` installs modules, for each Python, site(3)."""
    for name in filesystem.names(f"{base}/lib"):
        path = f"{base}/lib/{name}/site-packages"
        if name.startswith("python3") and filesystem.kind(path) == "directory":
            yield path
