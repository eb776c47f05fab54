"""Code in the source tree that also runs outside of the sandbox stays as it is, and hidden paths stay hidden."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping

from ..errors import PolicyError
from ..files.paths import is_within, resolve
from ..files.spelling import normal
from ..policy import Policy
from ..protections import Protection, ProtectionState
from ..text import visible
from .enclosing import NOT_CONFINED, repository_notes
from .git import git_directory, masked_configurations, obeyed_paths, submodules
from .interpreter import environments_of
from .leadingout import notes_of_links
from .plan import Layout, Situation, Stage
from .search_path import search_path
from .toolchains import CREDENTIAL_NAMES, SHARED_NAMES
from .view import View

__all__ = ["Guard"]

# The parts of a virtual environment whose directory is the source tree itself.
_OF_AN_ENVIRONMENT = ("bin", "lib", "lib64", "pyvenv.cfg")
# What we look at beside a source tree in its repository, the nearest to the top first.
_MOST_SECRETS, _MOST_NAMES = 2048, 256
_SECRET_NAMES = CREDENTIAL_NAMES - SHARED_NAMES | {".git"}
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
        self._enclosing = situation.repository

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
        if self._is_open() and self._policy.source == "read-write" and is_within(real, self._real_source):
            raise PolicyError(
                f"{visible(real)!r}, which runs outside of the sandbox, is in the source tree "
                f"{visible(self._source)!r}, and without user namespaces a hook could change it: use a virtual "
                "environment in another directory, set source = 'read-only', or allow user namespaces on this host"
            )

    def _is_open(self) -> bool:
        """Return whether the policy allows that no mount namespace protects a part of a tree.

        If it does not, the whole plan is refused later, with the remedy.
        """
        return self._policy.permits(Protection.FILESYSTEM, ProtectionState.DEGRADED)

    def repositories(self) -> None:
        """Keep what git obeys as it is, in every repository that we know, and show no credential of it."""
        repositories = [path for known in self._situation.repositories for path in known.paths]
        repositories += [f"{tree}/.git" for tree in (self._real_source, *self._writable())]
        exposed = [f"{real}/.git" for path in self._policy.expose if (real := self._real(path)) is not None]
        for dot_git in dict.fromkeys(repositories):
            if (kind := self._filesystem.kind(dot_git)) is not None:
                if kind == "link":
                    self._hold(dot_git)
                else:
                    self._keep_read_only(dot_git)
                self._repository(git_directory(self._filesystem, dot_git))
        for dot_git in exposed:
            self._mask(git_directory(self._filesystem, dot_git))

    def enclosing(self, *, confined: bool) -> None:
        """Show the repository that the source tree is a part of, read-only and without its credentials.

        What its index names is no secret, because the repository itself holds it.
        """
        repository, view = self._situation.repository, self._view
        if confined and repository.shown:
            repository = dataclasses.replace(repository, why_not=NOT_CONFINED)
        self._enclosing = repository
        shown = [path for path in repository.shown if not view.covers(path)]
        for path in shown:
            along = self._real_source if path == repository.top else ""
            reason = "the repository of the source tree"
            view.show(path, reason=reason, owned="tree", separate=True, along=along)
        for directory in dict.fromkeys((*repository.directories, *shown)):
            self._mask(directory)
            for module, _ in submodules(self._filesystem, directory):
                self._mask(module)
        if repository.top in shown:
            self._cover_secrets(repository.top, repository.index)

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each repository that git would find, and for links, where the hook lacks them."""
        yield from repository_notes(self._filesystem, self._real_source, self._enclosing, shows=self._view.covers)
        home = self._situation.home
        yield from notes_of_links(self._filesystem, self._real_source, home=home, shows=self._view.covers)

    def _cover_secrets(self, top: str, index: str) -> None:
        secrets = self._filesystem.named_near(top, _SECRET_NAMES, _MOST_SECRETS)
        beside = [path for path in secrets if not is_within(path, self._real_source) and path != f"{top}/.git"]
        kept = self._filesystem.tracked(index, tuple(os.path.relpath(path, top) for path in beside)) if beside else ()
        for path in beside:
            if os.path.basename(path) == ".git":
                self._mask(path)
            elif os.path.relpath(path, top) not in kept:
                self._view.cover(path, **self._fill)
            elif self._filesystem.kind(path) == "directory":
                self._cover_beneath(path, top, index)

    def _cover_beneath(self, directory: str, top: str, index: str) -> None:
        """Cover the entries of a directory that its repository does not hold."""
        paths = {os.path.relpath(f"{directory}/{n}", top): n for n in self._filesystem.names(directory)[:_MOST_NAMES]}
        for path in paths.keys() - self._filesystem.tracked(index, tuple(paths)):
            self._view.cover(f"{top}/{path}", **self._fill)

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
            self._view.pin(real, tree, writable=tree != self._real_source or self._policy.source != "read-only")
            self._view.show(real, reason="runs outside of the sandbox, so read-only", owned="tree")

    def pin(self, real: str) -> None:
        """Keep the hook from renaming a part of a real path, in each tree that it may write to."""
        for tree in (self._real_source, *self._writable()):
            if is_within(real, tree):
                self._view.pin(real, tree, writable=tree != self._real_source or self._policy.source != "read-only")

    def nested(self) -> None:
        """Keep a tree within another one in its place: a hook could move it away, and leave a link there."""
        trees = (self._real_source, *self._writable())
        for tree in trees:
            if any(tree != other and is_within(tree, other) for other in trees):
                self.pin(tree)
                self._view.fix(tree)

    def environments(self, python: str, variables: Mapping[str, str], *, confined: bool) -> None:
        """Show build environments in a tree that the hook may write to read-only: later hooks run what is in them.

        Frontends make them in the directory for temporary files, which may lie in the tree. pip's environment is known
        by its search paths alone.

        :raises PolicyError: there is no mount namespace, which alone can make a part of a tree read-only
        """
        paths = list(environments_of(self._filesystem, python)) if python else []
        names = (self._situation.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))  # as tempfile does
        if os.path.isabs(temporary := next(filter(None, names), "")):
            paths += self._beneath(temporary, variables)
        for path in dict.fromkeys(paths):
            for tree in self._written():
                if path == tree:
                    for name in _OF_AN_ENVIRONMENT:
                        self._environment(f"{path}/{name}", confined=confined)
                elif is_within(path, tree):
                    self._environment(path, confined=confined)

    def _beneath(self, temporary: str, variables: Mapping[str, str]) -> Iterator[str]:
        """Yield the entries of a directory that search paths lead into."""
        top = self._real(temporary)
        for entry in (*search_path(variables.get("PATH", "")), *search_path(variables.get("PYTHONPATH", ""))):
            real = self._real(entry)
            if top is not None and real is not None and is_within(real, top) and real != top:
                yield f"{top.rstrip('/')}/{os.path.relpath(real, top).split('/')[0]}"

    def _environment(self, real: str, *, confined: bool) -> None:
        if self._real(real) != real or real in self._policy.writable:
            return  # there is nothing, or only a link; or the policy names it
        if confined and self._is_open():
            raise PolicyError(
                f"the build environment {visible(real)!r} is in a tree that the hook may write to, and without user "
                "namespaces the hook could change it: make the environment in another directory (for a frontend's own, "
                "set TMPDIR), set source = 'read-only', or allow user namespaces on this host"
            )
        self.pin(real)
        self._view.show(real, reason="the build environment", owned="tree")

    def exported(self, stage: Stage | None) -> None:
        """Show what earlier hooks have built read-only: the frontend opens it by its path after this hook.

        :param stage: the output of this hook; its staging directory covers what is in the present output directory
        """
        covered = self._real(stage.target) if stage and stage.inside == stage.target else None
        for path in self._situation.exported:
            if covered is None or not is_within(path, covered):
                self.pin(path)
                self._view.show(path, reason="built by an earlier hook", owned="tree")

    def workspaces(self, *, confined: bool) -> None:
        """Hide the workspaces of other calls: a hook that could write there could forge what those calls read.

        :raises PolicyError: there is no mount namespace, which alone can hide a part of a tree
        """
        for path in self._situation.workspaces:
            if confined and self._is_open() and self._view.covers(path):
                raise PolicyError(
                    f"another call has its temporary files in {visible(path)!r}, which this hook could change, and "
                    "only user namespaces can hide a part of a tree: set TMPDIR to a directory outside of every source "
                    "tree, or allow user namespaces on this host"
                )
            self.pin(self._real(path) or path)
            self._view.hide(path, **self._fill)

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
            if confined and self._view.covers(real or normal(path)):
                raise PolicyError(
                    f"policy: hide: {visible(path)!r} is in a directory that hooks see, and only user namespaces can "
                    "hide a part of it: expose less, or allow user namespaces on this host"
                )
            if real is not None:
                self.pin(real)
            self._view.hide(path, **self._fill)
