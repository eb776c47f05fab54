"""The report of a call: its protections, the variables that were kept from it, and its outcome."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .observe.hints import Hint
from .protections import Protection, ProtectionState, ProtectionStatus
from .results.artefacts import Artefact

__all__ = ["HookReport"]


@dataclasses.dataclass(frozen=True)
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
    :ivar hints: what the sandbox may have had to do with a failure, the most likely cause first
    :ivar explanation: the same as a block of at most twelve lines, or an empty text if the call did not fail
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
    hints: tuple[Hint, ...] = ()
    explanation: str = ""

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
        changed |= {name: tuple(document.get(name, ())) for name in ("dropped", "set_aside", "notes")}
        changed["hints"] = tuple(Hint(**hint) for hint in document.get("hints", ()))
        return cls(**{**document, **changed})

    def to_dict(self) -> Mapping[str, Any]:
        """Return the report as a mapping that ``json.dumps`` accepts."""
        document = dataclasses.asdict(self)
        document["protections"] = {
            s.protection.value: {"state": s.state.value, "reason": s.reason, "remedy": s.remedy}
            for s in self.protections
        }
        return document
