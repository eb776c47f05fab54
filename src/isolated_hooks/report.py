"""The report of a call: its protections, the variables that were kept from it, and its outcome."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .frozen import dataclass
from .observe.hints import Hint
from .protections import Protection, ProtectionState, ProtectionStatus
from .results.artefacts import Artefact
from .results.details import Details

__all__ = ["Connection", "HookReport"]


@dataclass(frozen=True)
class Connection:
    """Connections that a hook has asked the proxy for, to one host and port and with one outcome.

    Neither a path nor any content stands here. A hook chooses the names that it asks for, so only so many of those that
    were refused stand here; the rest is one entry without a host.

    :ivar host: the name or the address
    :ivar port: the port; 0 if the request was none
    :ivar count: how many connections there were
    :ivar sent: bytes to the host
    :ivar received: bytes from the host
    :ivar problem: why they were refused or failed; empty if they were made
    """

    host: str
    port: int
    count: int
    sent: int = 0
    received: int = 0
    problem: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the connections were made."""
        return not self.problem


@dataclass(frozen=True)
class HookReport:
    """The report of one call.

    :ivar hook: the name of the hook, or the first word of the command
    :ivar source_dir: path of the source tree
    :ivar protections: the status of every protection
    :ivar returncode: the exit code of the hook's process, negative if a signal ended it; ``None`` if the process was
        not started
    :ivar dropped: names of the environment variables that were kept from the hook; never their values
    :ivar artefacts: the files and directories that were copied to the output directory
    :ivar error: the error message, or an empty string
    :ivar seconds: wall time of the whole call, in seconds
    :ivar launcher: the name of the launcher that set up the sandbox
    :ivar set_aside: the paths of the repositories of git that the hook has made in a tree, and that were renamed, so
        that no later git command obeys them
    :ivar notes: sentences about things that the hook has outside and lacked inside, and about those that we could not
        look through
    :ivar details: what the hook left, changed and used; only if the caller of the hook asked for it
    :ivar connections: the connections that the hook has asked for, if the policy names the hosts that it may reach
    :ivar hints: what the sandbox may have had to do with a failure, the most likely cause first
    :ivar explanation: the same as a block of at most twelve lines, or an empty text if the call did not fail
    :ivar denied: what an observed hook asked for and did not get, whether it failed or not, and who asked
    :ivar warm: the launcher was a fork of the process that stays ready, see :attr:`Policy.warm`
    """

    hook: str
    source_dir: str
    protections: tuple[ProtectionStatus, ...]
    returncode: int | None = None
    dropped: tuple[str, ...] = ()
    artefacts: tuple[Artefact, ...] = ()
    error: str = ""
    seconds: float = 0.0
    launcher: str = ""
    set_aside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: Details | None = None
    connections: tuple[Connection, ...] = ()
    hints: tuple[Hint, ...] = ()
    explanation: str = ""
    denied: tuple[Hint, ...] = ()
    warm: bool = False

    def state(self, protection: Protection) -> ProtectionState:
        """Return the state of one protection under which the call ran."""
        return next(s.state for s in self.protections if s.protection is protection)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> HookReport:
        """Return the report that a document describes.

        :param document: a return value of :meth:`to_dict`, possibly after a trip through JSON
        """
        statuses = (
            ProtectionStatus(Protection(name), ProtectionState(s["state"]), s["reason"], s["remedy"])
            for name, s in document["protections"].items()
        )
        artefacts = (Artefact(**artefact) for artefact in document["artefacts"])
        changed: dict[str, Any] = {"protections": tuple(statuses), "artefacts": tuple(artefacts)}
        changed["connections"] = tuple(Connection(**entry) for entry in document.get("connections", ()))
        changed |= {name: tuple(document.get(name, ())) for name in ("dropped", "set_aside", "notes")}
        if document.get("details") is not None:
            changed["details"] = Details.from_dict(document["details"])
        changed |= {name: tuple(Hint(**hint) for hint in document.get(name, ())) for name in ("hints", "denied")}
        return cls(**{**document, **changed})

    def to_dict(self) -> Mapping[str, Any]:
        """Return the report as a mapping that ``json.dumps`` accepts."""
        document = dataclasses.asdict(self)
        document["protections"] = {
            s.protection.value: {"state": s.state.value, "reason": s.reason, "remedy": s.remedy}
            for s in self.protections
        }
        return document
