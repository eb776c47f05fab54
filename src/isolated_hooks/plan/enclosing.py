"""The repository of git that a source tree is a part of: a build reads its version, its README and its shared files.

A hook sees it, read-only, if the repository itself says that the tree belongs to it. A file that the tree brings along
says nothing: anybody can write ``gitdir: /home/somebody/private/.git`` into an archive. So

- a directory ``.git`` above the tree counts if its index names something in the tree;
- a file ``.git``, in the tree or above it, counts if the repository that it names leads back: ``gitdir`` of a linked
  worktree, ``core.worktree`` of a submodule, gitrepository-layout(5).
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable, Iterable, Iterator

from ..files.paths import Filesystem, is_within, resolve
from ..frozen import dataclass
from ..text import visible
from .git import alternates, git_directory, top_of, worktree_of
from .view import SCRATCH

__all__ = ["NONE", "Enclosing", "enclosing_repository", "repository_notes"]

# A repository whose top contains one of these, or is beneath one of the second row, is nobody's project.
_TOO_WIDE = ("/etc", "/home", "/opt", "/proc", "/root", "/srv", "/sys", "/usr", "/var", *(path for path, _ in SCRATCH))
_SYSTEM = ("/etc", "/proc", "/sys")


@dataclass(frozen=True)
class Enclosing:
    """A repository.

    :ivar top: the real path of the top of its working tree, if that is not the source tree itself
    :ivar directories: the real paths of its directories, if they are outside the source tree
    :ivar index: the path of its index
    :ivar why_not: why a hook does not see it, in a sentence, or empty
    """

    top: str = ""
    directories: tuple[str, ...] = ()
    index: str = ""
    why_not: str = ""

    @property
    def shown(self) -> tuple[str, ...]:
        """The paths that a hook sees."""
        return () if self.why_not else tuple(filter(None, (self.top, *self.directories)))


#: Why a hook without a mount namespace sees none.
NOT_CONFINED = (
    "the repository that the source tree is in is not shown, because without user namespaces its credentials cannot be "
    "masked; --expose shows it with them"
)
#: There is no repository but perhaps the tree's own, in the tree.
NONE = Enclosing()


def enclosing_repository(filesystem: Filesystem, source: str, *, home: str) -> Enclosing:
    """Return the repository that a source tree is a part of.

    :param source: the real path of the source tree
    :param home: the caller's home directory
    """
    top = top_of(filesystem, source)
    if top is None or (top == source and filesystem.kind(f"{top}/.git") == "directory"):
        return NONE
    dot_git = f"{top}/.git"
    directory = git_directory(filesystem, dot_git)
    if directory is None or any(filesystem.kind(f"{directory}/{name}") is None for name in ("HEAD", "index")):
        return NONE
    common = _common(filesystem, directory)
    outside = tuple(dict.fromkeys(path for path in (common, directory) if path and not is_within(path, source)))
    enclosing = Enclosing("" if top == source else top, outside, f"{directory}/index")
    problem = _problem(filesystem, source, top, directory, common, home)
    if problem is None or not (enclosing.top or enclosing.directories):
        return enclosing  # what lies in the tree is visible anyway
    return dataclasses.replace(enclosing, why_not=_sentence(problem, enclosing))


def _problem(
    filesystem: Filesystem, source: str, top: str, directory: str, common: str | None, home: str
) -> str | None:
    """Return why a hook does not see a repository, in some words."""
    dot_git = f"{top}/.git"
    if filesystem.kind(dot_git) == "link":
        return "its .git is a link"
    if filesystem.kind(dot_git) == "file" and not _leads_back(filesystem, directory, top):
        return "its .git names a repository that does not name it"
    if common is None:
        return "it refers to a repository elsewhere"
    real_home = resolve(filesystem, home)[0] or home
    if any(is_within(path, shown) for path in (home, real_home) for shown in (top, directory, common)):
        return "it contains your home directory"
    if any(is_within(path, top) for path in _TOO_WIDE) or any(is_within(top, path) for path in _SYSTEM):
        return "it contains more than a project"
    beneath = os.path.relpath(source, top)
    if top != source and beneath not in filesystem.tracked(f"{directory}/index", (beneath,)):
        return "its index names nothing in the source tree"
    return None


def _leads_back(filesystem: Filesystem, directory: str, top: str) -> bool:
    """Return whether a repository names this working tree as its own."""
    backwards = filesystem.text(f"{directory}/gitdir").strip()
    named = (worktree_of(filesystem, directory), os.path.dirname(backwards) if backwards.endswith("/.git") else None)
    return any(path and resolve(filesystem, os.path.join(directory, path))[0] == top for path in named)


def _common(filesystem: Filesystem, directory: str) -> str | None:
    """Return the directory that holds the objects: the main repository of a linked worktree. ``None`` if elsewhere."""
    text = filesystem.text(f"{directory}/commondir").strip()
    if not text:
        return directory
    common, _ = resolve(filesystem, os.path.join(directory, text))
    return common if common is not None and os.path.dirname(directory) == f"{common}/worktrees" else None


def _sentence(problem: str, found: Enclosing) -> str:
    paths = tuple(dict.fromkeys(filter(None, (found.top, *found.directories))))
    where = f"the repository {visible(paths[0])!r}, which the source tree is in,"
    return f"{where} is not shown, because {problem}; to show it: {_options(paths)}"


def repository_notes(
    filesystem: Filesystem, source: str, repository: Enclosing, *, shows: Callable[[str], bool]
) -> Iterator[str]:
    """Yield a sentence for each repository that git would find from the source tree, and that a hook lacks.

    :param source: the real path of the source tree
    :param repository: the one that the tree is a part of
    :param shows: tells whether a real path is visible inside
    """
    paths = tuple(filter(None, (repository.top, *repository.directories)))
    if repository.why_not and not all(map(shows, paths)):
        yield repository.why_not
    for directory in (git_directory(filesystem, f"{source}/.git"), *repository.directories):
        # A tree may bring such a list along too, and name any repository of the caller's, so we only speak of it.
        hidden = [path for path in alternates(filesystem, directory or "") if not shows(path)]
        if directory and shows(directory) and hidden:
            yield (
                f"the repository {visible(directory)!r} takes objects from {visible(hidden[0])!r}, which is not shown: "
                f"git inside does not find its commits; if you trust the source tree, show it: {_options(hidden)}"
            )


def _options(paths: Iterable[str]) -> str:
    return " ".join(f"--expose {shlex.quote(visible(path))}" for path in paths)
