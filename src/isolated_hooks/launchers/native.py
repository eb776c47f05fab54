"""The native launcher: the frontend's interpreter runs ``sandbox/``, without a helper program."""

from __future__ import annotations

from collections.abc import Sequence

from ..plan import Identity, Plan
from ..plan.holds import protections_of
from ..protections import ProtectionStatus
from .child import child_command
from .protocol import Availability

__all__ = ["Native"]


class Native:
    """Sets the sandbox up by system calls from the frontend's own interpreter."""

    name = "native"
    identities = frozenset(Identity)
    paths = ()

    def availability(self) -> Availability:
        return Availability(True, "part of isolated-hooks")

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        return protections_of(plan)

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        """:raises SandboxUnavailableError: as :func:`.child.child_command`"""
        return child_command("launch", workspace, "--", *argv)
