"""Code in the source tree that also runs outside of the sandbox stays as it is, and hidden paths stay hidden."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..errors import PolicyError
from ..files.paths import is_within, resolve
from ..policy import Policy
from ..protections import Protection, ProtectionState
from ..text import visible
from .git import git_directory, masked_configurations, obeyed_paths, submodules
from .plan import Layout, Situation
from .view import View

__all__ = ["Guard"]

_CREDENTIALS_OF_GIT = ("credentials", ".git-credentials", "git-credentials")


class Guard:
    """Guards the trees of one call.

    :param source: the source tree, as the call names it
    :param real_source: its real path
    """

    def __init__(
        self, view: View, situation: Situation, policy: Policy, layout: Layout, *, source: str, real_source: str
    ) -> None:
        self._view = view
        self._situation = situation
        self._filesystem = situation.filesystem
        self._policy = policy
        self._source = source
        self._real_source = real_source
        self._fill = {"empty": layout.empty, "nothing": layout.nothing}

    def trusted(self, *, confined: bool) -> None:
        """Keep the interpreter of the frontend and this package as they are, in a virtual environment in the tree."""
        for path in self._situation.trusted:
            real, links = resolve(self._filesystem, path)
            if real == self._real_source:
                raise PolicyError(
                    f"the source tree {visible(self._source)!r} is also the directory of the Python that runs this "
                    "frontend, and a hook could change it: use a virtual environment in a directory of its own"
                )
            if real is not None:
                self._refuse_link(path, links, real)
                if confined:
                    self._refuse_if_open(real)
                self._keep_read_only(real)

    def _refuse_link(self, path: str, links: Iterable[str], real: str) -> None:
        """Refuse links in the source tree through which the frontend imports its modules.

        A hook could replace such a link. We do not hold it: the launcher that sets up the sandbox may not be able to.
        """
        for link in links:
            if self._policy.source == "read-write" and is_within(link, self._real_source):
                raise PolicyError(
                    f"{visible(path)!r}, which runs outside of the sandbox, is reached by the link {visible(link)!r} "
                    f"in the source tree, and a hook could change that link: run it as {visible(real)!r}, or set "
                    "source = 'read-only'"
                )

    def _refuse_if_open(self, real: str) -> None:
        """Refuse trusted code in a writable source tree if no mount namespace can make it read-only."""
        allowed = self._policy.permits(Protection.FILESYSTEM, ProtectionState.DEGRADED)
        if allowed and self._policy.source == "read-write" and is_within(real, self._real_source):
            raise PolicyError(
                f"{visible(real)!r}, which runs outside of the sandbox, is in the source tree "
                f"{visible(self._source)!r}, and without user namespaces a hook could change it: use a virtual "
                "environment in another directory, set source = 'read-only', or allow user namespaces on this host"
            )

    def repositories(self) -> None:
        """Keep what git obeys as it is, in every repository that we know, and show no credential of it."""
        found = [path for known in self._situation.repositories for path in known.paths]
        found += [f"{tree}/.git" for tree in (self._real_source, *self._writable())]
        exposed = [f"{real}/.git" for path in self._policy.expose if (real := self._real(path)) is not None]
        for dot_git in dict.fromkeys(found):
            if (kind := self._filesystem.kind(dot_git)) is not None:
                if kind == "link":
                    self._hold(dot_git)
                else:
                    self._keep_read_only(dot_git)
                self._repository(git_directory(self._filesystem, dot_git))
        for dot_git in exposed:
            self._mask(git_directory(self._filesystem, dot_git))

    def _repository(self, directory: str | None) -> None:
        if directory is None:
            return
        self._keep_read_only(directory)
        self._mask(directory)
        for path in obeyed_paths(self._filesystem, directory):
            real = self._real(path)
            if real is not None and not is_within(real, directory):
                self._keep_read_only(real)
        for module, worktree in submodules(self._filesystem, directory):
            self._mask(module)
            if self._filesystem.kind(f"{worktree}/.git") in ("file", "directory"):
                self._keep_read_only(f"{worktree}/.git")

    def _mask(self, directory: str | None) -> None:
        if directory is None or not self._view.covers(directory):
            return
        for path, content in masked_configurations(self._filesystem, directory):
            self._view.mask(path, content)
        for name in _CREDENTIALS_OF_GIT:
            if self._filesystem.kind(f"{directory}/{name}") == "file":
                self._view.cover(f"{directory}/{name}", **self._fill)

    def _hold(self, link: str) -> None:
        tree = next((tree for tree in self._written() if is_within(link, tree)), None)
        if tree is not None:
            self._view.pin(link, tree, writable=True)
            self._view.hold(link)

    def _keep_read_only(self, real: str) -> None:
        tree = self._tree_of(real)
        if tree is not None and real != tree:
            self._view.pin(real, tree, writable=tree != self._real_source or self._policy.source == "read-write")
            self._view.show(real, reason="runs outside of the sandbox, so read-only", owned="tree")

    def _tree_of(self, real: str) -> str | None:
        """Return the tree that contains a path. A path that the policy itself makes writable is a tree of its own."""
        trees = [tree for tree in (self._real_source, *self._writable()) if is_within(real, tree)]
        return max(trees, key=len) if trees else None

    def _written(self) -> tuple[str, ...]:
        source = (self._real_source,) if self._policy.source == "read-write" else ()
        return (*source, *self._writable())

    def _writable(self) -> tuple[str, ...]:
        return tuple(real for path in self._policy.writable if (real := self._real(path)) is not None)

    def _real(self, path: str) -> str | None:
        return resolve(self._filesystem, path)[0]

    def hide(self, *, confined: bool) -> None:
        """Take the paths of ``hide`` out of the view again.

        :raises PolicyError: there is no mount namespace, which alone can hide a part of a directory
        """
        for path in self._policy.hide:
            real = self._real(path)
            if confined and self._view.covers(real or os.path.normpath(path)):
                raise PolicyError(
                    f"policy: hide: {visible(path)!r} is in a directory that hooks see, and only user namespaces can "
                    "hide a part of it: expose less, or allow user namespaces on this host"
                )
            for tree in (self._real_source, *self._policy.writable):
                if real is not None and is_within(real, tree):
                    writable = tree != self._real_source or self._policy.source == "read-write"
                    self._view.pin(real, tree, writable=writable)
            self._view.hide(path, **self._fill)
