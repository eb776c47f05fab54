"""The variables that the dynamic linker obeys, without what leads to the directory that a program is started in.

``LD_LIBRARY_PATH=$LD_LIBRARY_PATH:/usr/local/cuda/lib64`` has an empty element where the variable was unset, and that
is the current directory, ld.so(8): of a launcher that is started in the source tree, the attacker's.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["absolute_libraries"]

# Lists of directories. Both separators are ld.so's.
_DIRECTORIES = ("LD_LIBRARY_PATH", "GCONV_PATH", "LOCPATH")
# Objects to load, separated by spaces or colons; one with a slash that is not absolute is looked for from here.
_OBJECTS = ("LD_PRELOAD", "LD_AUDIT")


def absolute_libraries(environ: Mapping[str, str]) -> dict[str, str]:
    """Return new values for the variables that would have the linker look in the current directory."""
    changed = {}
    for name in _DIRECTORIES:
        entries = environ.get(name, "/").replace(";", ":").split(":")
        if not all(entry.startswith("/") for entry in entries):
            changed[name] = ":".join(entry for entry in entries if entry.startswith("/")) or "/nonexistent"
    for name in _OBJECTS:
        objects = environ.get(name, "").replace(":", " ").split()
        if any("/" in entry and not entry.startswith("/") for entry in objects):
            # Whole: what is left of it would reach the hook as the frontend's own word.
            changed[name] = ""
    return changed
