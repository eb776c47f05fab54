"""How a plan is made: what the call needs, what the policy allows, at which place, and as whom.

Pure: nothing here makes a system call. What has to be known of this host comes in as a
:class:`~isolated_hooks.plan.Situation`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..errors import PolicyError
from ..files.paths import Filesystem, is_within, resolve
from ..hookcall import HookCall
from ..policy import Policy
from ..protections import Protection, ProtectionState
from ..sandbox.operations import Bind
from ..text import visible
from .environ import plan_environ
from .identities import choose_identity
from .interpreter import interpreter_paths
from .plan import Layout, Plan, Situation, Stage
from .search_path import absolute_python, rustup_home, search_path, tool_paths
from .view import HOME, SCRATCH, USER, View, refuse_reserved

__all__ = ["plan_command", "plan_hook", "refuse_source"]

# Where a hook's output goes when its own directory holds something else that the hook has to see.
_ASIDE = "/run/isolated-hooks"
_SCRATCH_INODES = 1_000_000
# What the sandbox has of its own, as it has devices: nothing of the host's is shown there as a search path names it.
_OWN = ("/etc", "/proc", "/sys")
# Where source trees are put within what every hook sees.
_WORKPLACES = ("/opt", "/usr/src", "/usr/local/src")


def plan_hook(call: HookCall, policy: Policy, situation: Situation, layout: Layout, extra: Mapping[str, str]) -> Plan:
    """Return the plan of a hook call.

    :param extra: ``extra_environ`` of the runner call
    :raises PolicyError: the call and the policy do not fit together
    """
    path = extra.get("PATH", situation.environ.get("PATH", ""))
    python = absolute_python(situation.filesystem, call.python, path)
    planner = _Planner(policy, situation, layout, extra, call.source_dir, python)
    planner.view.show(call.script, owned="caller")
    planner.metadata(call.metadata_directory)
    control = planner.control(call.control_dir)
    stage, kwargs = None, None
    if call.output_directory is not None:
        stage = planner.stage_output(call.output_directory)
        kwargs = call.kwargs if stage.inside == stage.target else call.with_output_directory(stage.inside)
    argv = (python, call.script, call.hook, control)
    return planner.finish(argv, call.source_dir, stage=stage, kwargs=kwargs)


def plan_command(
    argv: Sequence[str],
    cwd: str,
    policy: Policy,
    situation: Situation,
    layout: Layout,
    *,
    stdin: str,
    terminal: str,
    extra: Mapping[str, str] = MappingProxyType({}),
    python: str = "",
) -> Plan:
    """Return the plan of any command under the same policy, with ``cwd`` as its source tree.

    :param stdin: ``"inherit"`` or ``"null"``
    :param terminal: the device of a pseudo-terminal made for this command, to be its controlling one, or empty
    :param extra: variables that whoever starts it gives it, over the inherited ones
    :param python: an interpreter to show with all that it loads, or empty
    """
    planner = _Planner(policy, situation, layout, extra, cwd, python)
    if terminal:
        # As in bubblewrap: without a name of its terminal that can be opened, ttyname(3) finds none.
        planner.view.add(Bind(terminal, "/dev/console", device=True))
    return planner.finish(tuple(argv), cwd, stdin=stdin, terminal=bool(terminal))


def refuse_source(source: str, policy: Policy, *, home: str, filesystem: Filesystem) -> None:
    """Refuse a source tree that holds what no hook may see: cheap, so that no tree is walked before.

    :param home: the caller's home directory
    :raises PolicyError: with the remedy
    """
    refuse_reserved(source, "the source tree", filesystem=filesystem)
    real_source, real_home = resolve(filesystem, source)[0] or source, resolve(filesystem, home)[0]
    if real_home is not None and is_within(real_home, real_source) and source not in policy.expose:
        raise PolicyError(
            f"the source tree {visible(source)!r} holds the caller's home directory, so a hook could read "
            "every credential in it: move the project to a directory of its own, or name this one in 'expose'"
        )


class _Planner:
    """The steps that every plan has in common."""

    def __init__(
        self,
        policy: Policy,
        situation: Situation,
        layout: Layout,
        extra: Mapping[str, str],
        source: str,
        python: str,
    ) -> None:
        self.policy = policy
        self.situation = situation
        self.layout = layout
        self.extra = extra
        self.view = View(situation.filesystem)
        self.source = source
        self.merged = {**situation.environ, **extra}
        self.rustup_home: str | None = None
        self.identity, self.owner = choose_identity(situation.owners, situation.refused)
        self.confined = self.identity.confined
        self.real_source = resolve(situation.filesystem, source)[0] or source
        refuse_source(source, policy, home=situation.home, filesystem=situation.filesystem)
        without = (situation.home, *self._neighbours())
        self.view.base(network=policy.network, size=policy.limits.temp_size, inodes=_SCRATCH_INODES, without=without)
        self.view.show(source, writable=policy.source == "read-write", owned="tree")
        if python:
            # Before it is found by PATH, as in an activated environment, where modes count: the hook has to read it.
            self._interpreter(python)
        self._search_paths()
        for path in situation.inside:
            self._show_read_only(path)
        for paths, writable, owned in ((policy.expose, False, "caller"), (policy.writable, True, "tree")):
            for path in paths:
                self._expose(path, writable=writable, owned=owned)
        self._protect()

    def _neighbours(self) -> tuple[str, ...]:
        """Return the directory of other source trees beside this one, where that is within what every hook sees."""
        parent = os.path.dirname(self.real_source)
        return (parent,) if any(is_within(parent, place) and parent != "/opt" for place in _WORKPLACES) else ()

    def _protect(self) -> None:
        """Keep the hook from changing what is run outside of the sandbox, where that is within the source tree.

        The interpreter of the frontend and this package itself, in a virtual environment inside the project; git's
        hooks and configuration, which the next git command obeys.
        """
        for path in self.situation.trusted:
            real, links = resolve(self.situation.filesystem, path)
            if real == self.real_source:
                raise PolicyError(
                    f"the source tree {visible(self.source)!r} is itself the directory of the Python that runs "
                    "this frontend, which a hook could change: use a virtual environment in a directory of its own"
                )
            if real is not None:
                self._refuse_link(path, links, real)
                self._refuse_if_open(real)
                self._keep_read_only(real)
        # A file in a worktree and in a submodule: it says where all that git obeys is.
        if self.situation.filesystem.kind(f"{self.real_source}/.git") in ("directory", "file"):
            self._keep_read_only(f"{self.real_source}/.git")

    def _refuse_link(self, path: str, links: Iterable[str], real: str) -> None:
        """No mount keeps a link from being replaced, and by it the frontend finds what it imports next."""
        for link in links:
            if self.policy.source == "read-write" and is_within(link, self.real_source):
                raise PolicyError(
                    f"{visible(path)!r}, which runs outside of the sandbox, is reached by the link {visible(link)!r} "
                    f"in the source tree, which a hook could change: run it as {visible(real)!r}, or make the source "
                    "tree read-only"
                )

    def _refuse_if_open(self, real: str) -> None:
        """Without a mount namespace nothing within a writable tree can be kept from being written to."""
        allowed = self.confined and self.policy.permits(Protection.FILESYSTEM, ProtectionState.DEGRADED)
        if allowed and self.policy.source == "read-write" and is_within(real, self.real_source):
            raise PolicyError(
                f"{visible(real)!r}, which runs outside of the sandbox, lies in the source tree "
                f"{visible(self.source)!r}, and without user namespaces a hook could change it: use a virtual "
                "environment in another directory, "
                "source = 'read-only', or allow user namespaces on this host"
            )

    def _cover(self) -> None:
        """Take out of view what would do harm even read-only: sockets, and files that modes do not keep from a hook."""
        fill = {"empty": self.layout.empty, "nothing": self.layout.nothing}
        for path in self.situation.sockets:
            real, _ = resolve(self.situation.filesystem, path)
            if real is not None and self.view.covers(real):
                self.view.cover(real, **fill)
        if self.identity.traits.reads_all:
            self.view.cover_private(**fill)

    def _keep_read_only(self, real: str) -> None:
        writable = any(is_within(real, path) for path in self.policy.writable)
        if is_within(real, self.real_source) and real != self.real_source and not writable:
            self.view.pin(real, self.real_source, writable=self.policy.source == "read-write")
            self.view.show(real, owned="tree")

    def _expose(self, path: str, *, writable: bool, owned: str) -> None:
        refuse_reserved(path, "the path", filesystem=self.situation.filesystem)
        real, links = resolve(self.situation.filesystem, path)
        if real is not None and any(self.in_tree(link) for link in links) and not self.in_tree(real):
            raise PolicyError(f"policy: a link that a hook may have made leads from {visible(path)!r} to elsewhere")
        device = _is_device(path)
        if self.view.show(path, writable=writable and not device, owned="" if device else owned, device=device) is None:
            key = "writable" if writable else "expose"
            raise PolicyError(f"policy: {key}: {visible(path)!r} does not exist")

    def _interpreter(self, python: str) -> None:
        """Show an interpreter and all that it loads."""
        for path in interpreter_paths(self.situation.filesystem, python):
            self._show_read_only(path)

    def _show_read_only(self, path: str, *, owned: str = "caller") -> None:
        """Show a path that something else than the policy asked for, unless that would show too much.

        What lies in the source tree is there already, and where a link in the tree leads is the hook's choice.
        """
        real, links = resolve(self.situation.filesystem, path)
        if real is None or self.in_tree(real) or any(self.in_tree(link) for link in links) or self._too_wide(path):
            return
        if not self.view.shows(real):
            self.view.show(path, owned="" if self.view.covers(real) else owned)

    def in_tree(self, path: str) -> bool:
        """Say whether a path lies where the hook may write, so that a link there may lead anywhere."""
        return any(is_within(path, tree) for tree in (self.source, self.real_source, *self.policy.writable))

    def _search_paths(self) -> None:
        filesystem, home = self.situation.filesystem, self.situation.home
        started_with = search_path(self.situation.started_with.get("PATH", ""))
        for entry in search_path(self.merged.get("PATH", "")):
            # pip's build environment has a bin only if something in it has programs.
            if filesystem.kind(entry) is None and entry in started_with:
                continue
            rustup = rustup_home(filesystem, entry, self.merged)
            self.rustup_home = rustup or self.rustup_home
            # What the frontend added is a build environment's: the hook has to read it, whatever the umask made of it.
            owned = "" if entry in started_with else "caller"
            for path in (entry, *tool_paths(filesystem, entry, home), *([rustup] if rustup else [])):
                self._show_read_only(path, owned=owned)
        # Only what the frontend put there reaches the hook, see environ.py; what the user has there does not.
        python_path = self.merged.get("PYTHONPATH", "")
        if python_path != self.situation.started_with.get("PYTHONPATH"):
            for entry in search_path(python_path):
                self._show_read_only(entry)

    def _too_wide(self, path: str) -> bool:
        """Say whether showing ``path`` would show what the sandbox must not, such as a home or a shared directory."""
        real, _ = resolve(self.situation.filesystem, path)
        home, _ = resolve(self.situation.filesystem, self.situation.home)
        trees = (home, self.situation.home, self.source, self.real_source)
        wide = (*(tree for tree in trees if tree is not None), *(p for p, _ in SCRATCH), *_OWN)
        candidates = (path, real or path)
        if any(map(_is_device, candidates)) or any(is_within(candidate, o) for candidate in candidates for o in _OWN):
            return True
        return any(is_within(w, candidate) for w in wide for candidate in candidates)

    def control(self, directory: str) -> str:
        """Put the workspace's control directory in the place of the frontend's, and return its path inside."""
        if self.confined:
            self.view.stage(self.layout.control, self.layout.control, writable=True)
            return self.layout.control
        real = self.view.place(directory) or directory
        if is_within(real, self.real_source):
            # The frontend will look for the answer by this path, so nothing of it may be moved away.
            self.view.pin(real, self.real_source, writable=self.policy.source == "read-write")
        self.view.stage(self.layout.control, real, writable=True)
        return directory

    def stage_output(self, directory: str) -> Stage:
        """Put staging in the place of an output directory, or aside where the hook has to see something in there."""
        if self.confined:
            self.view.stage(self.layout.staging, self.layout.staging, writable=True)
            return Stage(directory, self.layout.staging, self.layout.staging)
        real = resolve(self.situation.filesystem, directory)[0] or directory
        needed = (*(o.target for o in self.view.operations()), *(path for path, _ in SCRATCH))
        if any(is_within(target, real) for target in needed):
            self.view.stage(self.layout.staging, f"{_ASIDE}/output", writable=True)
            return Stage(directory, f"{_ASIDE}/output", self.layout.staging)
        self.view.place(directory)
        self.view.stage(self.layout.staging, real, writable=True)
        return Stage(directory, directory, self.layout.staging)

    def metadata(self, directory: str | None) -> None:
        """Show a ``.dist-info`` that was prepared earlier, and the wheel that pyproject_hooks may have left beside it.

        Where a backend cannot prepare metadata, pyproject_hooks builds the wheel instead and leaves it in the parent
        directory with an empty marker file, whose name differs by version. Asked to build a wheel it takes this one.
        """
        if directory is None:
            return
        view, filesystem = self.view, self.situation.filesystem
        real, links = resolve(filesystem, directory)
        if real is None:
            raise PolicyError(f"the metadata directory {visible(directory)!r} does not exist")
        if any(self.in_tree(link) for link in links) and not self.in_tree(real):
            raise PolicyError(
                f"a link that a hook may have made leads to the metadata directory {visible(directory)!r}"
            )
        view.show(directory, owned="caller")
        parent = os.path.dirname(directory)
        files = [p for n in filesystem.names(parent) if filesystem.kind(p := f"{parent}/{n}") == "file"]
        wheels = [path for path in files if path.endswith(".whl")]
        markers = [path for path in files if os.path.basename(path).isupper() and filesystem.size(path) == 0]
        if len(wheels) == 1 and len(markers) == 1:
            for path in (*wheels, *markers):
                view.show(path, owned="caller")

    def _pin_hidden(self, path: str) -> None:
        real, _ = resolve(self.situation.filesystem, path)
        for tree in (self.real_source, *self.policy.writable):
            if real is not None and is_within(real, tree):
                self.view.pin(real, tree, writable=tree != self.real_source or self.policy.source == "read-write")

    def _check_hide(self) -> None:
        for path in self.policy.hide:
            real, _ = resolve(self.situation.filesystem, path)
            if real is not None and self.view.covers(real):
                raise PolicyError(
                    f"policy: hide: {visible(path)!r} lies in a directory that is shown, and without user namespaces "
                    "nothing can be taken out of one: expose less, or allow user namespaces on this host"
                )

    def finish(self, argv: tuple[str, ...], cwd: str, **rest: Any) -> Plan:
        """Return the plan."""
        if self.confined:
            self.view.stage(self.layout.scratch, self.layout.scratch, writable=True)
            self._check_hide()
        else:
            self._cover()
        for path in self.policy.hide:
            self._pin_hidden(path)
            self.view.hide(path, empty=self.layout.empty, nothing=self.layout.nothing)
        environ = plan_environ(
            self.situation.environ,
            self.situation.started_with,
            self.extra,
            self.policy,
            home=f"{self.layout.scratch}/home" if self.confined else HOME,
            tmpdir=f"{self.layout.scratch}/tmp" if self.confined else "/tmp",
            user=USER,
            rustup_home=self.rustup_home,
        )
        return Plan(
            argv=argv,
            cwd=cwd,
            source=self.real_source,
            operations=self.view.operations(),
            identity=self.identity,
            owner=self.owner,
            rules=self.view.rules(private=self.situation.owners is None) if self.confined else (),
            environ=environ,
            path_roots=self.view.read_only_roots(),
            path_refused=(self.source, self.real_source, *self.policy.writable, *(p for p, _ in SCRATCH)),
            policy=self.policy,
            root=self.situation.root,
            remedy=self.situation.remedy,
            **rest,
        )


def _is_device(path: str) -> bool:
    """Say whether something is a device by its path. What lies in /dev/shm are files, often somebody's TMPDIR."""
    return is_within(path, "/dev") and not is_within(path, "/dev/shm")
