"""Removes from the variables of the dynamic linker what the hook could fill: the current directory and written trees.

``LD_LIBRARY_PATH=$LD_LIBRARY_PATH:/usr/local/cuda/lib64`` has an empty element if the variable was unset. The linker
takes an empty element for the current directory, ld.so(8). The frontend starts the launcher in the source tree, so the
attacker controls that directory. An earlier hook may have put a ``libz.so.1`` into any directory of the tree, and the
linker loads that into whatever program starts next outside the sandbox.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..files.steered import Trees

__all__ = ["trusted_libraries"]

# Lists of directories, separated by colons or semicolons, ld.so(8).
_DIRECTORIES = ("LD_LIBRARY_PATH", "GCONV_PATH", "LOCPATH")
# Objects to load, separated by spaces or colons. The linker resolves a relative path from the current directory.
_OBJECTS = ("LD_PRELOAD", "LD_AUDIT")


def trusted_libraries(environ: Mapping[str, str], trees: Trees) -> dict[str, str]:
    """Return new values for those variables that would make the linker load, or write, a file that a hook can choose.

    :param trees: the trees that hooks may write to
    """
    changed = {}
    for name, value in environ.items():
        if name in _DIRECTORIES:
            entries = value.replace(";", ":").split(":")
            trusted = [entry for entry in entries if _is_trusted(entry, trees)]
            if trusted != entries:
                changed[name] = ":".join(trusted) or "/nonexistent"
        elif name in _OBJECTS:
            # Clear all of it: the hook would receive the remaining entries as a choice of the frontend's.
            if not all(_is_trusted(entry, trees) for entry in value.replace(":", " ").split() if "/" in entry):
                changed[name] = ""
        elif name.startswith("LD_") and "/" in value and not _is_trusted(value, trees):
            changed[name] = ""  # LD_DEBUG_OUTPUT, LD_PROFILE_OUTPUT and LD_ORIGIN_PATH are paths
    return changed


def _is_trusted(path: str, trees: Trees) -> bool:
    return os.path.isabs(path) and not trees.steer(path)
