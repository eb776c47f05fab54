"""The repositories of git that a tree contains: what a later git command outside obeys, and where credentials lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..files.paths import Filesystem, is_within, resolve
from ..files.spelling import normal
from .credentials import UNREADABLE_CONFIG, without_credentials

__all__ = [
    "alternates",
    "git_directory",
    "masked_configurations",
    "obeyed_paths",
    "submodules",
    "top_of",
    "worktree_of",
]

_MOST_SUBMODULES = 512
_MOST_ALTERNATES = 6  # git follows five levels
_CONFIGURATIONS = ("config", "config.worktree")
# The paths in a configuration that lead git to code or to more configuration, git-config(1).
# No repetition crosses the end of a line or meets another of its kind, so the search takes linear time.
_LEADS = re.compile(
    r"^[^\S\n]*(?:\[[^\]\n]*\][^\S\n]*)?(?:hookspath|path|attributesfile)[^\S\n]*=[^\S\n]*(\S.*)$", re.IGNORECASE | re.M
)
_WORKTREE = re.compile(r"^[^\S\n]*worktree[^\S\n]*=[^\S\n]*(\S.*)$", re.M)
_LARGEST = 65536  # the most that Filesystem.text() reads


def git_directory(filesystem: Filesystem, dot_git: str) -> str | None:
    """Return the real path of the repository that ``.git`` stands for, a directory, a link, or a file that names it."""
    real, _ = resolve(filesystem, dot_git)
    if real is None or filesystem.kind(real) == "directory":
        return real
    first = filesystem.text(real).partition("\n")[0]
    if not first.startswith("gitdir:"):
        return None
    return resolve(filesystem, os.path.join(os.path.dirname(dot_git), first[len("gitdir:") :].strip()))[0]


def top_of(filesystem: Filesystem, path: str) -> str | None:
    """Return the directory, of a real path and those above it, in which git finds a ``.git`` first."""
    while path != "/":
        if filesystem.kind(f"{path}/.git") is not None:
            return path
        path = os.path.dirname(path)
    return None


def worktree_of(filesystem: Filesystem, directory: str) -> str | None:
    """Return the working tree that a repository names as its own, ``core.worktree``, as submodules have it."""
    named = [_WORKTREE.search(filesystem.text(f"{directory}/{name}")) for name in reversed(_CONFIGURATIONS)]
    match = next(filter(None, named), None)
    return None if match is None else normal(os.path.join(directory, match[1].rstrip().strip('"')))


def obeyed_paths(filesystem: Filesystem, directory: str) -> Iterator[str]:
    """Yield the paths beside a repository that git obeys: its common directory, hooks, included configuration."""
    common = filesystem.text(f"{directory}/commondir").strip()
    if common:
        yield normal(os.path.join(directory, common))
    for name in _CONFIGURATIONS:
        for match in _LEADS.finditer(filesystem.text(f"{directory}/{name}")):
            path = match[1].rstrip().strip('"')
            # git reads core.hooksPath from the top of the working tree, and include.path from the configuration.
            yield normal(os.path.join(directory, path))
            yield normal(os.path.join(os.path.dirname(directory), path))


def submodules(filesystem: Filesystem, directory: str) -> Iterator[tuple[str, str]]:
    """Yield the repositories beneath ``modules`` of a repository, and the working tree of each, which may be missing.

    Only git writes there, because the hook sees the repository read-only.
    """
    todo, seen = [f"{directory}/modules"], 0
    while todo and seen < _MOST_SUBMODULES:
        here = todo.pop()
        for name in filesystem.names(here):
            path = f"{here}/{name}"
            if filesystem.kind(path) != "directory":
                continue
            seen += 1
            if filesystem.kind(f"{path}/HEAD") is None:
                todo.append(path)  # a part of a name such as third_party/zlib
                continue
            yield path, worktree_of(filesystem, path) or path
            todo.append(f"{path}/modules")


def alternates(filesystem: Filesystem, directory: str) -> Iterator[str]:
    """Yield the real paths from which a repository takes objects besides its own, and those that these name in turn.

    ``git clone --shared`` and ``--reference`` make such repositories, gitrepository-layout(5).
    """
    todo, seen = [f"{directory}/objects"], {f"{directory}/objects"}
    while todo and len(seen) < _MOST_ALTERNATES:
        here = todo.pop(0)
        for line in filesystem.text(f"{here}/info/alternates").splitlines():
            path, _ = resolve(filesystem, os.path.join(here, line)) if line and line[0] != "#" else (None, {})
            if path is not None and path not in seen and filesystem.kind(f"{path}/pack") == "directory":
                seen.add(path)
                todo.append(path)
                yield path


def masked_configurations(filesystem: Filesystem, directory: str) -> Iterator[tuple[str, str]]:
    """Yield each configuration of a repository that contains credentials, and its text without them."""
    for name in _CONFIGURATIONS:
        path, _ = resolve(filesystem, f"{directory}/{name}")
        text = filesystem.text(path) if path is not None else ""
        if path is None or not is_within(path, directory):
            continue
        masked = (
            UNREADABLE_CONFIG if len(text.encode("utf-8", "surrogateescape")) >= _LARGEST else without_credentials(text)
        )
        if masked != text:
            yield path, masked
