"""The plan of one call: everything that the child will do, decided beforehand, as data. :mod:`.planner` makes it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ..files.ownership import Owners
from ..files.paths import Filesystem
from ..policy import Policy
from ..policy.limits import LIMITS
from ..protections import Protection, ProtectionState
from ..sandbox import seccomp
from ..sandbox.operations import Operation
from .environ import EnvironRules
from .identities import Identity

__all__ = ["Layout", "Plan", "Situation", "Stage"]


@dataclasses.dataclass(frozen=True)
class Layout:
    """The paths of a workspace that a plan refers to."""

    scratch: str
    control: str
    staging: str
    empty: str
    nothing: str


@dataclasses.dataclass(frozen=True)
class Situation:
    """What the planner has to know of the host and of the frontend.

    :ivar home: the caller's home directory
    :ivar environ: the frontend's environment now; :ivar started_with: when its process started
    :ivar owners: of the source tree and the writable paths where the caller is root, else ``None``
    :ivar trusted: directories of what runs outside of the sandbox: the frontend's interpreter, this package
    :ivar sockets: unix sockets in the source tree and the writable paths, and all others that are bound to a path
    :ivar refused: the identities that this host is known to refuse, or the launcher does not know
    :ivar inside: paths that the launcher needs in the sandbox for itself
    :ivar root: the caller is the kernel's own root, whatever number its user namespace shows
    :ivar remedy: what to do on this host to get user namespaces
    """

    filesystem: Filesystem
    home: str
    environ: Mapping[str, str]
    started_with: Mapping[str, str]
    owners: Owners | None
    refused: frozenset[Identity] = frozenset()
    trusted: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    root: bool = False
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class Stage:
    """An output directory: where the caller wants the result, and the empty directory that the hook writes into.

    :ivar target: the caller's directory; :ivar inside: the path that the hook is given; :ivar staging: of the workspace
    """

    target: str
    inside: str
    staging: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the child is to do. Immutable; :meth:`to_wire` is what travels, :meth:`describe` what people read."""

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
    stdin: str = "null"
    terminal: bool = False
    root: bool = False
    remedy: str = ""

    @property
    def confined(self) -> bool:
        """Whether there are no namespaces: then ``rules``, for Landlock, have to do for ``operations``."""
        return self.identity.confined

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The capabilities that the hook holds: in its own user namespace, where it has one."""
        return self.identity.capabilities

    def to_wire(self, key: bytes) -> dict[str, Any]:
        """Return the plan as :mod:`marshal` takes it.

        :param key: what the digests of the environment's values are keyed with
        """
        limits = self.policy.limits.present()
        watched = {name: value for name, value in limits.items() if LIMITS[name].watched}
        if self.identity.traits.nproc.exact:
            watched.pop("processes", None)
        roots, refused = ([os.fsencode(p) for p in paths] for paths in (self.path_roots, self.path_refused))
        return {
            "confined": self.confined,
            "operations": [] if self.confined else [o.to_wire() for o in self.operations],
            "rules": [(os.fsencode(path), kind) for path, kind in self.rules],
            "identity": self.identity.to_wire(),
            "owner": self.owner,
            "network": self.policy.network,
            # Only with the caller's network are there abstract sockets of the host to keep away from.
            "scope": self.policy.network,
            "degradable": [p.value.encode() for p in Protection if self.policy.permits(p, ProtectionState.DEGRADED)],
            "hostname": b"localhost",
            "cwd": os.fsencode(self.cwd),
            "trees": [os.fsencode(path) for path in (self.source, *self.policy.writable)],
            "stdin": self.stdin.encode(),
            "terminal": self.terminal,
            "limits": {LIMITS[name].rlimit: value for name, value in limits.items() if LIMITS[name].rlimit},
            "supervised": {name: value for name, value in limits.items() if LIMITS[name].supervised},
            "watched": watched,
            "writes": [os.fsencode(path) for path in (*self._written_source, *self.policy.writable)],
            "environ": self.environ.for_child(key, path_roots=roots, path_refused=refused),
        }

    @property
    def _written_source(self) -> tuple[str, ...]:
        return (self.source,) if self.policy.source == "read-write" else ()

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        return {
            "argv": list(self.argv),
            "cwd": self.cwd,
            "identity": self.identity.value,
            "capabilities": list(self.capabilities),
            "operations": []
            if self.confined
            else [{"operation": type(o).__name__, **o.values()} for o in self.operations],
            "rules": [list(rule) for rule in self.rules] if self.confined else None,
            "environment": self.environ.to_dict(),
            "policy": self.policy.to_dict(),
        }

    def describe(self) -> Iterator[str]:
        """Yield what the child will do, a line each."""
        yield f"command: {' '.join(self.argv)}"
        yield f"directory: {self.cwd}"
        yield f"identity: {self.identity.words}"
        yield f"capabilities: {' and '.join(self.capabilities) or 'none'}, and none can be gained"
        yield "network: the caller's" if self.policy.network else "network: none but a loopback of its own"
        if self.confined:
            yield "namespaces: none; what may be opened, by Landlock:"
            for path, kind in self.rules:
                yield f"  {('names only', 'read-only', 'read-write', 'device')[kind]:10}  {path}"
        else:
            yield "namespaces: user, mount, PID, IPC, UTS, cgroup" + ("" if self.policy.network else ", network")
            yield "filesystem, from nothing:"
            for operation in self.operations:
                yield f"  {operation.describe()}"
        yield "system calls refused:"
        for sentence in seccomp.describe(namespaces=not self.confined, network=self.policy.network):
            yield f"  {sentence}"
        yield f"environment, dropped: {' '.join(self.environ.dropped) or 'nothing'}"
        yield f"environment, made to fit: {' '.join(sorted(self.environ.set))}"
