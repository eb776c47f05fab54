"""What a call was protected by, what was taken from it, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .protections import Protection, ProtectionState, ProtectionStatus
from .results.artefacts import Artefact

__all__ = ["HookReport"]


@dataclasses.dataclass(frozen=True)
class HookReport:
    """The report of one call.

    :ivar hook: the hook, or the command that was run
    :ivar source_dir: the source tree
    :ivar protections: the state of every protection
    :ivar returncode: of the hook's process, ``None`` where it was not started
    :ivar dropped: names of the environment variables that were taken out; never their values
    :ivar artefacts: what was exported
    :ivar error: what went wrong, in words, or an empty text
    :ivar seconds: wall time of the whole call
    :ivar launcher: what set the sandbox up
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

    def state(self, protection: Protection) -> ProtectionState:
        """Return the state of one protection."""
        return next(s.state for s in self.protections if s.protection is protection)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> HookReport:
        """Return the report that :meth:`to_dict` made ``document`` of."""
        statuses = (
            ProtectionStatus(Protection(name), ProtectionState(s["state"]), s["reason"], s["remedy"])
            for name, s in document["protections"].items()
        )
        artefacts = (Artefact(**artefact) for artefact in document["artefacts"])
        changed = {"protections": tuple(statuses), "artefacts": tuple(artefacts), "dropped": tuple(document["dropped"])}
        return cls(**{**document, **changed})

    def to_dict(self) -> Mapping[str, Any]:
        """Return the report as JSON can hold it."""
        document = dataclasses.asdict(self)
        document["protections"] = {
            s.protection.value: {"state": s.state.value, "reason": s.reason, "remedy": s.remedy}
            for s in self.protections
        }
        return document
