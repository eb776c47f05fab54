"""Removes entries that mean the current directory from the variables that the dynamic linker obeys.

``LD_LIBRARY_PATH=$LD_LIBRARY_PATH:/usr/local/cuda/lib64`` has an empty element if the variable was unset. The linker
takes an empty element for the current directory, ld.so(8). The frontend starts the launcher in the source tree, so the
attacker controls that directory.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["absolute_libraries"]

# Lists of directories, separated by colons or semicolons, ld.so(8).
_DIRECTORIES = ("LD_LIBRARY_PATH", "GCONV_PATH", "LOCPATH")
# Objects to load, separated by spaces or colons. The linker resolves a relative path from the current directory.
_OBJECTS = ("LD_PRELOAD", "LD_AUDIT")


def absolute_libraries(environ: Mapping[str, str]) -> dict[str, str]:
    """Return new values for those variables that would make the linker search the current directory."""
    changed = {}
    for name in _DIRECTORIES:
        entries = environ.get(name, "/").replace(";", ":").split(":")
        if not all(entry.startswith("/") for entry in entries):
            changed[name] = ":".join(entry for entry in entries if entry.startswith("/")) or "/nonexistent"
    for name in _OBJECTS:
        objects = environ.get(name, "").replace(":", " ").split()
        if any("/" in entry and not entry.startswith("/") for entry in objects):
            # Clear all of it: the hook would receive the remaining entries as a choice of the frontend's.
            changed[name] = ""
    return changed
