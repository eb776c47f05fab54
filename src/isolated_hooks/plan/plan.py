"""The plan of one call: data about everything that the child will do. :mod:`.planner` makes it beforehand."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ..files.cgroups import Hierarchy
from ..files.ownership import Owners
from ..files.paths import Filesystem, Repositories, is_within
from ..frozen import dataclass
from ..policy import Policy
from ..policy.limits import LIMITS
from ..protections import Protection, ProtectionState
from ..sandbox import seccomp
from ..sandbox.operations import Bind, Cover, Operation
from .enclosing import NONE, Enclosing
from .environ import EnvironRules
from .identities import Identity

__all__ = ["Discarded", "Layout", "Plan", "Situation", "Stage"]


@dataclass(frozen=True)
class Layout:
    """The paths in a workspace that a plan uses.

    :ivar scratch: the directory of the hook's home and temporary files where no tmpfs can hold them
    :ivar control: our copy of the control directory
    :ivar staging: the directory for the hook's outputs
    :ivar empty: an empty directory, to put over directories
    :ivar nothing: an empty file, to put over files
    """

    scratch: str
    control: str
    staging: str
    empty: str
    nothing: str


@dataclass(frozen=True)
class Discarded:
    """What takes the place of a source tree whose changes are discarded.

    :ivar path: the directory for the changes of an overlay, which holds ``upper`` and ``work``; otherwise the copy
    :ivar overlay: whether it is an overlay
    """

    path: str
    overlay: bool

    @property
    def written(self) -> str:
        """The directory that gets the changes."""
        return f"{self.path}/upper" if self.overlay else self.path


@dataclass(frozen=True)
class Situation:
    """The facts about the host and the frontend that the planner needs.

    :ivar filesystem: the filesystem of the host
    :ivar home: the caller's home directory
    :ivar environ: the frontend's environment now
    :ivar started_with: the frontend's environment when its process started
    :ivar owners: the owners of the source tree and of the writable paths if the caller is root, otherwise ``None``
    :ivar refused: the identities that this host refuses, as far as we know, and those that the launcher lacks
    :ivar trusted: the directories of code that runs outside of the sandbox: the frontend's interpreter, this package
    :ivar repositories: the repositories of git that we know in the source tree and in the writable paths
    :ivar inside: the paths that the launcher itself needs in the sandbox
    :ivar root: the caller is the kernel's own root, even if its user namespace shows another uid
    :ivar remedy: how to get user namespaces on this host
    :ivar workspaces: the workspaces of other calls in the trees that this hook may write to, as real paths
    :ivar exported: the artefacts of earlier hooks in the trees that this one may write to, as real paths
    :ivar repository: the repository that the source tree is a part of
    :ivar cgroups: the caller's own cgroups, if they limit it
    :ivar user: the names of the caller and of its group, which the hook's user has too: archives hold them
    :ivar discarded: what takes the place of the source tree, if the policy discards changes
    """

    filesystem: Filesystem
    home: str
    environ: Mapping[str, str]
    started_with: Mapping[str, str]
    owners: Owners | None
    refused: frozenset[Identity] = frozenset()
    trusted: tuple[str, ...] = ()
    repositories: tuple[Repositories, ...] = ()
    inside: tuple[str, ...] = ()
    root: bool = False
    remedy: str = ""
    workspaces: tuple[str, ...] = ()
    exported: tuple[str, ...] = ()
    user: tuple[str, str] = ("sandbox", "sandbox")
    discarded: Discarded | None = None
    repository: Enclosing = NONE
    cgroups: tuple[Hierarchy, ...] = ()


@dataclass(frozen=True)
class Stage:
    """An output directory, and the empty directory that the hook writes into instead.

    :ivar target: the caller's directory
    :ivar inside: the path of the output directory in the sandbox
    :ivar staging: the path of the empty directory in the workspace
    """

    target: str
    inside: str
    staging: str


@dataclass(frozen=True)
class Plan:
    """The work of the child. Immutable; the child gets it by :meth:`to_wire`, people by :meth:`describe`.

    :ivar argv: the command
    :ivar cwd: its working directory
    :ivar source: the real path of the source tree
    :ivar operations: the steps that build the root filesystem, in order
    :ivar reasons: why a path is shown, by the path on the host
    :ivar repositories: the repositories of git that were there before the hook
    :ivar identity: how the hook gets a user of its own
    :ivar owner: the uid and gid of the owner of the files, for :attr:`Identity.SINGLE`
    :ivar environ: the rules for the environment
    :ivar path_roots: the visible read-only directories, in which an entry of a search path stays
    :ivar path_refused: the directories that the hook can write to, in which an entry does not stay
    :ivar policy: the policy
    :ivar stage: the output directory of a hook that has one
    :ivar kwargs: the arguments of the hook, if they differ from those of the call
    :ivar rules: the paths and access rights for Landlock, if there are no namespaces
    :ivar stdin: ``"null"`` or ``"inherit"``
    :ivar terminal: stdin is a pseudo-terminal that becomes the controlling one
    :ivar root: the caller is the kernel's own root
    :ivar remedy: how to get user namespaces on this host
    :ivar files: without namespaces, the content of files for the hook's HOME, by their path beneath it
    :ivar notes: sentences about things that a hook has outside and lacks inside
    :ivar discarded: what takes the place of the source tree, if its changes are discarded
    :ivar detailed: the report names what the hook leaves in its HOME
    :ivar observed: pid 1 takes note of what the hook asks for and does not get
    """

    argv: tuple[str, ...]
    cwd: str
    source: str
    operations: tuple[Operation, ...]
    identity: Identity
    owner: tuple[int, int]
    environ: EnvironRules
    path_roots: tuple[str, ...]
    path_refused: tuple[str, ...]
    policy: Policy
    stage: Stage | None = None
    kwargs: Mapping[str, Any] | None = None
    rules: tuple[tuple[str, int], ...] = ()
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    repositories: tuple[Repositories, ...] = ()
    stdin: str = "null"
    terminal: bool = False
    root: bool = False
    remedy: str = ""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    discarded: Discarded | None = None
    detailed: bool = False
    observed: bool = False

    @property
    def confined(self) -> bool:
        """Whether there are no namespaces, so that ``rules``, for Landlock, replace ``operations``."""
        return self.identity.confined

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The hook's capabilities, in its own user namespace if it has one."""
        return self.identity.capabilities

    def to_wire(self, key: bytes) -> dict[str, Any]:
        """Return the plan in types that :mod:`marshal` supports.

        :param key: the key for the digests of the environment's values, 16 to 64 bytes
        """
        limits = self.policy.limits.present()
        watched = {name: value for name, value in limits.items() if LIMITS[name].watched}
        if self.identity.traits.nproc.exact:
            watched.pop("processes", None)
        if not self.confined and not self.identity.traits.unmapped:
            watched.pop("temp_size", None)  # temporary files are on a tmpfs of that size
        roots, refused = ([os.fsencode(p) for p in paths] for paths in (self.path_roots, self.path_refused))
        return {
            "confined": self.confined,
            "operations": [] if self.confined else [o.to_wire() for o in self.operations],
            "rules": [(os.fsencode(path), kind) for path, kind in self.rules],
            "identity": self.identity.to_wire(),
            "owner": self.owner,
            "network": self.policy.whole_network,
            "proxied": bool(self.policy.hosts),
            # The host's abstract sockets are within reach only with the caller's network.
            "scope": self.policy.whole_network,
            "degradable": [p.value.encode() for p in Protection if self.policy.permits(p, ProtectionState.DEGRADED)],
            "home": os.fsencode(self.environ.set["HOME"]) if self.detailed else b"",
            "observed": self.observed,
            "hostname": b"localhost",
            "cwd": os.fsencode(self.cwd),
            "trees": [os.fsencode(path) for path in (self.changed, *self.policy.writable)],
            "stdin": self.stdin.encode(),
            "terminal": self.terminal,
            "limits": {LIMITS[name].rlimit: value for name, value in limits.items() if LIMITS[name].rlimit},
            "supervised": {name: value for name, value in limits.items() if LIMITS[name].supervised},
            "watched": watched,
            "writes": [os.fsencode(path) for path in (*self._written_source, *self.policy.writable)],
            "environ": self.environ.for_child(key, path_roots=roots, path_refused=refused),
        }

    @property
    def changed(self) -> str:
        """The directory that gets what the hook writes to the source tree."""
        return self.source if self.discarded is None else self.discarded.written

    @property
    def _written_source(self) -> tuple[str, ...]:
        return () if self.policy.source == "read-only" else (self.changed,)

    def sees(self, path: str) -> bool:
        """Return whether the hook may see what is at a real path of the host."""
        binds = [o for o in self.operations if isinstance(o, Bind) and is_within(path, o.source)]
        return any(self._is_seen(bind.target + path[len(bind.source) :]) for bind in binds)

    def _is_seen(self, inside: str) -> bool:
        over = [(len(o.target), number) for number, o in enumerate(self.operations) if is_within(inside, o.target)]
        nearest = self.operations[max(over)[1]]
        return isinstance(nearest, Bind) and not isinstance(nearest, Cover)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "argv": list(self.argv),
            "cwd": self.cwd,
            "identity": self.identity.value,
            "capabilities": list(self.capabilities),
            "operations": []
            if self.confined
            else [
                {"operation": type(o).__name__, **o.values(), "reason": self.reasons.get(o.target, "")}
                for o in self.operations
            ],
            "rules": [list(rule) for rule in self.rules] if self.confined else None,
            "environment": self.environ.to_dict(),
            "notes": list(self.notes),
            "policy": self.policy.to_dict(),
        }

    @property
    def _network(self) -> str:
        if self.policy.whole_network:
            return "the caller's"
        if self.policy.hosts:
            text = f"these hosts alone, through a proxy outside: {' '.join(map(str, self.policy.hosts))}"
            added = " ".join(map(str, self.policy.auths))
            return f"{text}; it adds credentials outside: {added}" if added else text
        return "only a loopback interface of its own"

    def _why(self, path: str) -> str:
        reason = self.reasons.get(path, "the system")
        return "" if reason == "the system" else f" ({reason})"

    def describe(self) -> Iterator[str]:
        """Yield lines that describe the plan."""
        yield f"command: {' '.join(self.argv)}"
        yield f"directory: {self.cwd}"
        yield f"identity: {self.identity.words}"
        yield f"capabilities: {' and '.join(self.capabilities) or 'none'}, and none can be gained"
        yield f"network: {self._network}"
        if self.confined:
            yield "namespaces: none; Landlock lets the hook open:"
            for path, kind in self.rules:
                access = ("names only", "read-only", "read-write", "device")[kind]
                yield f"  {access:10}  {path}{self._why(path)}"
        else:
            yield "namespaces: user, mount, PID, IPC, UTS, cgroup" + ("" if self.policy.whole_network else ", network")
            yield "filesystem, from nothing:"
            for operation in self.operations:
                yield f"  {operation.describe()}{self._why(operation.target)}"
        yield "system calls refused:"
        for sentence in seccomp.describe(
            namespaces=not self.confined,
            network=self.policy.whole_network,
            watches=not self.confined or self.identity.traits.throw_away,
        ):
            yield f"  {sentence}"
        yield f"environment, dropped: {' '.join(self.environ.dropped) or 'nothing'}"
        yield f"environment, set: {' '.join(sorted(self.environ.set))}"
        for note in self.notes:
            yield f"note: {note}"
