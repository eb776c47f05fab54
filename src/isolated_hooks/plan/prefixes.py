"""Programs and libraries beyond the system, as in a home or in /srv: which paths belong to one that something names.

A link on ``PATH`` or a build variable leads to a program or a directory. What it needs lies in its own prefix: beside
``bin`` there are ``lib``, ``share`` and others. So we show these parts of the prefix, and nothing else of it, and of a
directory that is more than a prefix, as a home and ``~/.local`` are, only what was named.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from ..files.paths import Filesystem, is_within
from .interpreter import interpreter_paths, prefix_entries
from .toolchains import CREDENTIAL_NAMES, NOT_INSTALLED, PARTS, SHARED_NAMES

__all__ = ["belonging", "holds_secrets", "is_prefix", "is_project"]

# How far above a named path its prefix may lie, as that of lib/x86_64-linux-gnu/pkgconfig.
_DEEPEST = 3
# Directories of keys and tokens, at any depth. A prefix may have the other names, as ~/.cargo/bin has.
_SECRET = CREDENTIAL_NAMES - SHARED_NAMES - {".cargo", ".config", ".conda", "conda", ".gem", ".gradle", ".m2"}
_SECRET |= {".password-store", ".pki", "keyrings", ".mozilla", ".thunderbird", ".config/gcloud"}


def belonging(filesystem: Filesystem, real: str, *, home: str, bases: Collection[str]) -> Iterator[str]:
    """Yield the paths to show for a program or a directory, or nothing if it lies in a secret place.

    :param real: its real path
    :param home: the real path of the caller's home directory
    :param bases: the installations that ``pyvenv.cfg`` there may name: it may be that of the build environment
    """
    if holds_secrets(filesystem, real):
        return
    prefix = _prefix(real)
    if filesystem.kind(real) == "directory" and is_prefix(filesystem, real, home=home):
        prefix = real
    if prefix is None or not is_prefix(filesystem, prefix, home=home):
        yield real
        return
    if filesystem.kind(f"{prefix}/pyvenv.cfg"):
        yield from interpreter_paths(filesystem, f"{prefix}/bin/python", bases=bases)
    entries = prefix_entries(filesystem, prefix)
    yield from (path for path in entries if not path.endswith("/etc"))
    if not any(is_within(real, path) for path in entries):
        yield real


def _prefix(real: str) -> str | None:
    """Return the directory above the nearest part of a prefix on the way to a path."""
    here = real
    for _ in range(_DEEPEST):
        here, name = os.path.split(here)
        if name in PARTS:
            return here
    return None


def is_prefix(filesystem: Filesystem, path: str, *, home: str) -> bool:
    """Return whether a directory is an installation, and no home, project or service."""
    if is_within(home, path) or path.count("/") < 2 or os.path.basename(path) == ".local":
        return False
    names = frozenset(filesystem.names(path))
    return bool(names & PARTS) and not names & NOT_INSTALLED


def is_project(filesystem: Filesystem, path: str) -> bool:
    """Return whether a directory is a project, a home or a service."""
    return not NOT_INSTALLED.isdisjoint(filesystem.names(path))


def holds_secrets(filesystem: Filesystem, real: str) -> bool:
    """Return whether a path lies among credentials, or is a directory that holds some."""
    if not _SECRET.isdisjoint(real.split("/")):
        return True
    return filesystem.kind(real) == "directory" and not _SECRET.isdisjoint(filesystem.names(real))
