"""The planner turns a call and a policy into a plan.

It is pure: nothing here makes a system call. The facts about this host come in a
:class:`~isolated_hooks.plan.Situation`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..errors import PolicyError
from ..files.paths import Filesystem, Remembered, is_within, resolve
from ..hookcall import HookCall
from ..policy import Policy
from ..sandbox.operations import Bind, Overlay
from ..text import visible
from .callers import CallerSettings
from .enclosing import NONE
from .environ import EnvironRules, plan_environ
from .guard import Guard
from .identities import choose_identity
from .named import parent_documents
from .outside import Outside
from .plan import Discarded, Layout, Plan, Situation, Stage
from .search_path import absolute_python
from .system import show_limits, show_system
from .toolchains import toolchain
from .view import HOME, SCRATCH, View, refuse_reserved

__all__ = ["plan_command", "plan_hook", "plan_trial", "refuse_source"]

# The path of a hook's output if its own directory contains something else that the hook has to see.
_ASIDE = "/run/isolated-hooks"
# Where a trial mounts an overlay.
_TRIED = "/.tried"
_SCRATCH_INODES = 1_000_000
# The directories for source trees that every hook sees.
_WORKPLACES = ("/usr/src", "/usr/local/src")
_OUTPUT = "the output directory"
# The entries of a directory beyond /usr whose modes we look at, a microsecond each, once a minute.
_MOST_PRIVATE = 1024


def plan_hook(call: HookCall, policy: Policy, situation: Situation, layout: Layout, extra: Mapping[str, str]) -> Plan:
    """Return the plan of a hook call.

    :param extra: the ``extra_environ`` of the runner call
    :raises PolicyError: the policy does not allow the call, or a path that it needs does not exist
    """
    path = extra.get("PATH", situation.environ.get("PATH", ""))
    python = absolute_python(situation.filesystem, call.python, path)
    planner = _Planner(policy, situation, layout, extra, call.source_dir, python)
    planner.view.show(call.script, reason="the hook script", owned="caller")
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
    tree: str = "",
) -> Plan:
    """Return the plan of a command that is not a hook, with ``cwd`` as its source tree.

    :param stdin: ``"inherit"`` or ``"null"``
    :param terminal: the device of the command's own pseudo-terminal, which becomes its controlling one, or empty
    :param extra: variables that the caller adds to the inherited ones
    :param python: an interpreter to show, with everything that it loads, or empty
    :param tree: the source tree, if it is another directory than ``cwd``
    :raises PolicyError: the policy does not allow the command, or a path that it needs does not exist
    """
    planner = _Planner(policy, situation, layout, extra, tree or cwd, python)
    if terminal:
        # As bubblewrap does: ttyname(3) finds no name for a terminal unless some path of it can be opened.
        planner.view.add(Bind(terminal, "/dev/console", device=True))
    return planner.finish(tuple(argv), cwd, stdin=stdin, terminal=bool(terminal))


def plan_trial(
    policy: Policy,
    situation: Situation,
    layout: Layout,
    *,
    trees: Sequence[str],
    overlay: tuple[str, Discarded] | None = None,
) -> Plan:
    """Return the plan of a trial of this host: no command, and nothing in it that a hook can change.

    It has the identity that a plan for this situation has. The trees appear only if the identity needs idmapped mounts,
    which some file systems do not support, and then only their top directories.

    :param trees: the source tree and the writable paths
    :param overlay: also try an overlay over this tree, of which only the top directory is looked at
    """
    nothing: dict[str, Any] = {"environ": {}, "started_with": {}, "trusted": (), "repositories": (), "exported": ()}
    nothing |= {"repository": NONE, "cgroups": (), "discarded": None}
    bare = dataclasses.replace(situation, **nothing)
    identity, _ = choose_identity(situation.owners, situation.refused)
    idmapped = trees if identity.traits.idmapped else ()
    writable = tuple(resolve(situation.filesystem, tree)[0] or tree for tree in idmapped)
    without = dataclasses.replace(policy, source="read-write", expose=(), writable=writable, hide=())
    planner = _Planner(without, bare, layout, {}, layout.staging, "", trial=True)
    if overlay is not None:
        planner.view.add(Overlay(overlay[0], _TRIED, above=overlay[1].path, owned="tree"))
    # Not the staging directory: it has the caller as owner, and the identity may stand for that of the trees alone.
    return planner.finish((), "/", stdin="null", terminal=False)


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
        *,
        trial: bool = False,
    ) -> None:
        situation = dataclasses.replace(situation, filesystem=Remembered(situation.filesystem))
        self.policy = policy
        self.situation = situation
        self.layout = layout
        self.view = View(situation.filesystem)
        self.source = source
        self.identity, self.owner = choose_identity(situation.owners, situation.refused)
        self.confined = self.identity.confined
        self.merged = {**situation.environ, **extra}
        self.real_source = resolve(situation.filesystem, source)[0] or source
        refuse_source(source, policy, home=situation.home, filesystem=situation.filesystem)
        without = (situation.home, *self._neighbours())
        limits = {"size": policy.limits.temp_size, "inodes": _SCRATCH_INODES}
        show_system(self.view, network=policy.whole_network, without=without, **limits)
        self._show_source(source)
        self.outside = Outside(
            self.view, situation, policy, (source, self.real_source), others=self.identity.traits.throw_away
        )
        self._show_outside(python, extra)
        show_limits(self.view, situation.cgroups, policy.limits.memory)
        self.guard = Guard(self.view, situation, policy, layout, source=source, real_source=self.real_source)
        self.guard.nested()
        self.guard.enclosing(confined=self.confined)
        self.guard.trusted(confined=self.confined)
        if not trial:
            self.guard.repositories()
        self.guard.environments(python, self.merged, confined=self.confined)

    def _show_source(self, source: str) -> None:
        discarded = self.situation.discarded
        if self.policy.source != "discard":
            written = self.policy.source == "read-write"
            self.view.show(source, reason="the source tree", writable=written, owned="tree")
        elif discarded is None or (self.confined and discarded.overlay):
            raise ValueError("nothing takes the place of the source tree (expected a copy)")
        elif self.confined:
            # No mount can put the copy in the place of the tree: the hook runs in the copy, and reads both.
            self.view.show(source, reason="the source tree", owned="tree")
            self.view.stage(discarded.path, discarded.path, reason="a copy of the source tree", writable=True)
        elif discarded.overlay:
            self.view.discard(source, overlay=discarded.path)
        else:
            self.view.discard(source, copy=discarded.path)

    def _show_outside(self, python: str, extra: Mapping[str, str]) -> None:
        if python:
            # Before PATH, which may name the same directory, as in an activated environment. There the modes of files
            # apply, but the hook has to be able to read its interpreter.
            self.outside.interpreter(python)
        self.outside.search_paths(self.merged)
        self.outside.user_site(python, self.merged)
        for path in parent_documents(self.situation.filesystem, self.real_source):
            self.outside.show(path, "the source tree names it")
        in_tree = self.outside.in_tree
        self.caller = CallerSettings(self.situation, self.policy, self.merged, self.real_source, in_tree=in_tree)
        for path in self.caller.paths:
            self.outside.show(path, "the configuration of cargo or of XML catalogues")
        self.caller.show(self.view, confined=self.confined)
        self.environ = self._plan_environ(extra)
        self.outside.toolchains_of(self.environ.visible(extra))
        self.outside.named(self.environ.named())
        for path in self.situation.inside:
            self.outside.show(path, "the launcher")
        self.outside.expose(self.policy.expose, writable=False)
        self.outside.expose(self.policy.writable, writable=True)

    def _neighbours(self) -> tuple[str, ...]:
        """Return the parent directory of the source tree, if every hook could see the other source trees there."""
        parent = os.path.dirname(self.real_source)
        return (parent,) if any(is_within(parent, place) for place in _WORKPLACES) else ()

    def _cover(self) -> None:
        """Hide files that do harm even read-only: credentials, and private files that the hook could read."""
        fill = {"empty": self.layout.empty, "nothing": self.layout.nothing}
        self.view.mask_credentials((*self.outside.toolchains, *self.outside.programs), **fill)
        traits = self.identity.traits
        if traits.reads_all and not self.confined:
            self.view.cover_private(**fill)
        # Modes do not keep a hook with the caller's uid from the caller's files, nor any hook from files that an
        # idmapped mount shows as its own.
        tops = () if traits.throw_away else ("/usr/local", *self.outside.toolchains)
        self.view.mask_private((*tops, *self.outside.programs), _MOST_PRIVATE, **fill)

    def control(self, directory: str) -> str:
        """Show the workspace's control directory instead of the frontend's. Return its path inside."""
        if self.confined:
            self.view.stage(self.layout.control, self.layout.control, reason="the control directory", writable=True)
            return self.layout.control
        real = self.view.place(directory) or directory
        # The frontend looks for the answer by this path, so the hook must not rename a part of it.
        self.guard.pin(real)
        self.view.stage(self.layout.control, real, reason="the control directory", writable=True)
        return directory

    def stage_output(self, directory: str) -> Stage:
        """Show the staging directory instead of an output directory, or elsewhere if the hook needs something in it."""
        if self.confined:
            self.view.stage(self.layout.staging, self.layout.staging, reason=_OUTPUT, writable=True)
            return Stage(directory, self.layout.staging, self.layout.staging)
        real = resolve(self.situation.filesystem, directory)[0] or directory
        needed = (*(o.target for o in self.view.operations()), *(path for path, _ in SCRATCH))
        # A hook before this one may have removed the directory from the view of a discarded tree.
        lost = self.situation.discarded is not None and is_within(real, self.real_source)
        if lost or any(is_within(target, real) for target in needed):
            self.view.stage(self.layout.staging, f"{_ASIDE}/output", reason=_OUTPUT, writable=True)
            return Stage(directory, f"{_ASIDE}/output", self.layout.staging)
        self.view.place(directory)
        # The frontend opens the artefact by this path, so the hook must not rename a part of it.
        self.guard.pin(real)
        self.view.stage(self.layout.staging, real, reason=_OUTPUT, writable=True)
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
        if any(self.outside.in_tree(link) for link in links) and not self.outside.in_tree(real):
            raise PolicyError(
                f"the metadata directory {visible(directory)!r} goes through a link that a hook may have made: pass "
                "its real path, if you trust it"
            )
        view.show(directory, reason="prepared metadata", owned="caller")
        parent = os.path.dirname(directory)
        files = [p for n in filesystem.names(parent) if filesystem.kind(p := f"{parent}/{n}") == "file"]
        wheels = [path for path in files if path.endswith(".whl")]
        markers = [path for path in files if os.path.basename(path).isupper() and filesystem.size(path) == 0]
        if len(wheels) == 1 and len(markers) == 1:
            for path in (*wheels, *markers):
                view.show(path, reason="prepared metadata", owned="caller")

    def _plan_environ(self, extra: Mapping[str, str]) -> EnvironRules:
        return plan_environ(
            self.situation.environ,
            self.situation.started_with,
            extra,
            self.policy,
            home=f"{self.layout.scratch}/home" if self.confined else HOME,
            tmpdir=f"{self.layout.scratch}/tmp" if self.confined else "/tmp",
            user=self.situation.user[0],
            tools=self.outside.variables,
            defaults=self.outside.defaults,
            git=self.caller.variables,
            shows=self._shows,
        )

    def finish(self, argv: tuple[str, ...], cwd: str, **fields: Any) -> Plan:
        """Return the plan.

        :param fields: more fields of :class:`Plan`
        """
        if self.confined:
            self.view.stage(self.layout.scratch, self.layout.scratch, reason="the home and /tmp", writable=True)
        self.guard.workspaces(confined=self.confined)
        if not self.confined:
            self.guard.exported(fields.get("stage"))
        self._cover()
        self.guard.hide(confined=self.confined)
        discarded = self.situation.discarded
        return Plan(
            argv=argv,
            cwd=discarded.path if discarded is not None and self.confined else cwd,
            source=self.real_source,
            operations=self.view.operations(),
            identity=self.identity,
            owner=self.owner,
            rules=self.view.rules(private=self.situation.owners is None) if self.confined else (),
            reasons=self.view.reasons,
            repositories=self.situation.repositories,
            environ=self.environ,
            path_roots=self.view.read_only_roots(),
            path_refused=(
                *(self.source, self.real_source),
                *(() if discarded is None else (discarded.path,)),
                *self.policy.writable,
                *(p for p, _ in SCRATCH),
            ),
            policy=self.policy,
            root=self.situation.root,
            remedy=self.situation.remedy,
            files=self.caller.files if self.confined else {},
            notes=(*self.guard.notes(), *self.outside.notes, *self.caller.notes(self.environ, self.view)),
            discarded=discarded,
            **fields,
        )

    def _shows(self, path: str) -> bool:
        real, _ = resolve(self.situation.filesystem, path) if os.path.isabs(path) else (None, {})
        if real is None:
            return False
        # A variable that the hook gets shows the toolchain that it names.
        return (
            self.view.covers(real)
            or toolchain(self.situation.filesystem, real) is not None
            or self.outside.is_prefix(real)
        )
