"""The planner turns a call and a policy into a plan.

It is pure: nothing here makes a system call. The facts about this host come in a
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
from .callers import CallerSettings
from .environ import plan_environ
from .identities import choose_identity
from .interpreter import interpreter_paths
from .plan import Layout, Plan, Situation, Stage
from .search_path import absolute_python, rustup_home, search_path, tool_paths
from .view import HOME, SCRATCH, View, refuse_reserved

__all__ = ["plan_command", "plan_hook", "refuse_source"]

# The path of a hook's output if its own directory contains something else that the hook has to see.
_ASIDE = "/run/isolated-hooks"
_SCRATCH_INODES = 1_000_000
# The sandbox has its own versions of these directories, as of /dev. A search path cannot show the host's there.
_OWN = ("/etc", "/proc", "/sys")
# The directories for source trees that every hook sees.
_WORKPLACES = ("/opt", "/usr/src", "/usr/local/src")


def plan_hook(call: HookCall, policy: Policy, situation: Situation, layout: Layout, extra: Mapping[str, str]) -> Plan:
    """Return the plan of a hook call.

    :param extra: the ``extra_environ`` of the runner call
    :raises PolicyError: the policy does not allow the call, or a path that it needs does not exist
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
    """Return the plan of a command that is not a hook, with ``cwd`` as its source tree.

    :param stdin: ``"inherit"`` or ``"null"``
    :param terminal: the device of the command's own pseudo-terminal, which becomes its controlling one, or empty
    :param extra: variables that the caller adds to the inherited ones
    :param python: an interpreter to show, with everything that it loads, or empty
    :raises PolicyError: the policy does not allow the command, or a path that it needs does not exist
    """
    planner = _Planner(policy, situation, layout, extra, cwd, python)
    if terminal:
        # As bubblewrap does: ttyname(3) finds no name for a terminal unless some path of it can be opened.
        planner.view.add(Bind(terminal, "/dev/console", device=True))
    return planner.finish(tuple(argv), cwd, stdin=stdin, terminal=bool(terminal))


def refuse_source(source: str, policy: Policy, *, home: str, filesystem: Filesystem) -> None:
    """Refuse a source tree that contains files that no hook may see. This is cheap, so do it before you walk the tree.

    :param home: the caller's home directory
    :raises PolicyError: the source tree is refused; the text has the remedy
    """
    refuse_reserved(source, "the source tree", filesystem=filesystem)
    real_source, real_home = resolve(filesystem, source)[0] or source, resolve(filesystem, home)[0]
    if real_home is not None and is_within(real_home, real_source) and source not in policy.expose:
        raise PolicyError(
            f"the source tree {visible(source)!r} contains the caller's home directory, so a hook could read "
            "every credential in it: move the project to a directory of its own, or name the source tree in 'expose'"
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
            # Before PATH, which may name the same directory, as in an activated environment. There the modes of files
            # apply, but the hook has to be able to read its interpreter.
            self._interpreter(python)
        self._search_paths()
        for path in situation.inside:
            self._show_read_only(path)
        for paths, writable, owned in ((policy.expose, False, "caller"), (policy.writable, True, "tree")):
            for path in paths:
                self._expose(path, writable=writable, owned=owned)
        self.caller = CallerSettings(situation, policy, self.merged, self.real_source, in_tree=self.in_tree)
        for path in self.caller.paths:
            self._show_read_only(path)
        self.caller.show(self.view, confined=self.confined)
        self._protect()

    def _neighbours(self) -> tuple[str, ...]:
        """Return the parent directory of the source tree, if every hook could see the other source trees there."""
        parent = os.path.dirname(self.real_source)
        return (parent,) if any(is_within(parent, place) and parent != "/opt" for place in _WORKPLACES) else ()

    def _protect(self) -> None:
        """Make code in the source tree read-only if it also runs outside of the sandbox.

        That is the interpreter of the frontend and this package itself, in a virtual environment inside the project,
        and git's hooks and configuration, which the next git command obeys.
        """
        for path in self.situation.trusted:
            real, links = resolve(self.situation.filesystem, path)
            if real == self.real_source:
                raise PolicyError(
                    f"the source tree {visible(self.source)!r} is also the directory of the Python that runs this "
                    "frontend, and a hook could change it: use a virtual environment in a directory of its own"
                )
            if real is not None:
                self._refuse_link(path, links, real)
                self._refuse_if_open(real)
                self._keep_read_only(real)
        # In a worktree and in a submodule, .git is a file that names the directory of the configuration.
        if self.situation.filesystem.kind(f"{self.real_source}/.git") in ("directory", "file"):
            self._keep_read_only(f"{self.real_source}/.git")

    def _refuse_link(self, path: str, links: Iterable[str], real: str) -> None:
        """Refuse links in the source tree through which the frontend imports its modules.

        A hook could replace such a link, and no mount prevents that.
        """
        for link in links:
            if self.policy.source == "read-write" and is_within(link, self.real_source):
                raise PolicyError(
                    f"{visible(path)!r}, which runs outside of the sandbox, is reached by the link {visible(link)!r} "
                    f"in the source tree, and a hook could change that link: run it as {visible(real)!r}, or set "
                    "source = 'read-only'"
                )

    def _refuse_if_open(self, real: str) -> None:
        """Refuse trusted code in a writable source tree if no mount namespace can make it read-only."""
        allowed = self.confined and self.policy.permits(Protection.FILESYSTEM, ProtectionState.DEGRADED)
        if allowed and self.policy.source == "read-write" and is_within(real, self.real_source):
            raise PolicyError(
                f"{visible(real)!r}, which runs outside of the sandbox, is in the source tree "
                f"{visible(self.source)!r}, and without user namespaces a hook could change it: use a virtual "
                "environment in another directory, set source = 'read-only', or allow user namespaces on this host"
            )

    def _cover(self) -> None:
        """Hide files that do harm even read-only: sockets, and private files whose modes do not bind the hook."""
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
            raise PolicyError(
                f"policy: {visible(path)!r} goes through a link that a hook may have made: name its real path, if you "
                "trust it"
            )
        device = _is_device(path)
        if self.view.show(path, writable=writable and not device, owned="" if device else owned, device=device) is None:
            key = "writable" if writable else "expose"
            raise PolicyError(f"policy: {key}: {visible(path)!r} does not exist")

    def _interpreter(self, python: str) -> None:
        """Show an interpreter and everything that it loads."""
        for path in interpreter_paths(self.situation.filesystem, python):
            self._show_read_only(path)

    def _show_read_only(self, path: str, *, owned: str = "caller") -> None:
        """Show a path that the policy does not name, unless that would show too much.

        The source tree is visible anyway, and we follow no link in it, because a hook may choose its target.
        """
        real, links = resolve(self.situation.filesystem, path)
        if real is None or self.in_tree(real) or any(self.in_tree(link) for link in links) or self._too_wide(path):
            return
        if not self.view.shows(real):
            self.view.show(path, owned="" if self.view.covers(real) else owned)

    def in_tree(self, path: str) -> bool:
        """Return whether the hook may write to the directory of a path, so that a link there may lead anywhere."""
        return any(is_within(path, tree) for tree in (self.source, self.real_source, *self.policy.writable))

    def _search_paths(self) -> None:
        filesystem, home = self.situation.filesystem, self.situation.home
        started_with = search_path(self.situation.started_with.get("PATH", ""))
        for entry in search_path(self.merged.get("PATH", "")):
            # pip's build environment has a bin directory only if a package in it has programs.
            if filesystem.kind(entry) is None and entry in started_with:
                continue
            rustup = rustup_home(filesystem, entry, self.merged)
            self.rustup_home = rustup or self.rustup_home
            # An entry that the frontend has added belongs to a build environment. The hook has to read that even if
            # the umask was strict.
            owned = "" if entry in started_with else "caller"
            for path in (entry, *tool_paths(filesystem, entry, home), *([rustup] if rustup else [])):
                self._show_read_only(path, owned=owned)
        # The hook gets PYTHONPATH only if the frontend has set it, not if the user has, see environ.py.
        python_path = self.merged.get("PYTHONPATH", "")
        if python_path != self.situation.started_with.get("PYTHONPATH"):
            for entry in search_path(python_path):
                self._show_read_only(entry)

    def _too_wide(self, path: str) -> bool:
        """Return whether ``path`` contains more than a hook may see, such as a home or a shared directory."""
        real, _ = resolve(self.situation.filesystem, path)
        home, _ = resolve(self.situation.filesystem, self.situation.home)
        trees = (home, self.situation.home, self.source, self.real_source)
        hidden = (*(tree for tree in trees if tree is not None), *(p for p, _ in SCRATCH), *_OWN)
        names = (path, real or path)
        if any(map(_is_device, names)) or any(is_within(name, own) for name in names for own in _OWN):
            return True
        return any(is_within(directory, name) for directory in hidden for name in names)

    def control(self, directory: str) -> str:
        """Show the workspace's control directory instead of the frontend's. Return its path inside."""
        if self.confined:
            self.view.stage(self.layout.control, self.layout.control, writable=True)
            return self.layout.control
        real = self.view.place(directory) or directory
        if is_within(real, self.real_source):
            # The frontend looks for the answer by this path, so the hook must not rename a part of it.
            self.view.pin(real, self.real_source, writable=self.policy.source == "read-write")
        self.view.stage(self.layout.control, real, writable=True)
        return directory

    def stage_output(self, directory: str) -> Stage:
        """Show the staging directory instead of an output directory, or elsewhere if the hook needs something in it."""
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
        """Show a ``.dist-info`` from an earlier hook, and the wheel that pyproject_hooks may have left beside it.

        If a backend cannot prepare metadata, pyproject_hooks builds the wheel instead. It leaves the wheel in the
        parent directory, with an empty marker file whose name depends on the version. A later ``build_wheel`` returns
        that wheel.
        """
        if directory is None:
            return
        view, filesystem = self.view, self.situation.filesystem
        real, links = resolve(filesystem, directory)
        if real is None:
            raise PolicyError(f"the metadata directory {visible(directory)!r} does not exist")
        if any(self.in_tree(link) for link in links) and not self.in_tree(real):
            raise PolicyError(
                f"the metadata directory {visible(directory)!r} goes through a link that a hook may have made: pass "
                "its real path, if you trust it"
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
                    f"policy: hide: {visible(path)!r} is in a directory that hooks see, and only user namespaces can "
                    "hide a part of it: expose less, or allow user namespaces on this host"
                )

    def finish(self, argv: tuple[str, ...], cwd: str, **fields: Any) -> Plan:
        """Return the plan.

        :param fields: more fields of :class:`Plan`
        """
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
            user=self.situation.user[0],
            rustup_home=self.rustup_home,
            git=self.caller.variables,
            shows=self._shows,
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
            files=self.caller.files if self.confined else {},
            notes=tuple(self.caller.notes(environ, self.view)),
            **fields,
        )

    def _shows(self, path: str) -> bool:
        real, _ = resolve(self.situation.filesystem, path) if os.path.isabs(path) else (None, {})
        return real is not None and self.view.covers(real)


def _is_device(path: str) -> bool:
    """Return whether a path is the path of a device. /dev/shm contains files, and is often somebody's TMPDIR."""
    return is_within(path, "/dev") and not is_within(path, "/dev/shm")
