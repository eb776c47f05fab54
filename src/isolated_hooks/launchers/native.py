"""The launcher of our own: the frontend's interpreter runs ``sandbox/``, which needs no helper program."""

from __future__ import annotations

from collections.abc import Sequence

from ..plan import Identity, Plan
from ..plan.holds import protections_of
from ..protections import ProtectionStatus
from .child import child_command
from .protocol import Availability

__all__ = ["Native"]


class Native:
    """The system calls of the kernel, made by the interpreter that runs the frontend."""

    name = "native"
    identities = frozenset(Identity)
    paths = ()

    def availability(self) -> Availability:
        return Availability(True, "part of isolated-hooks")

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        return protections_of(plan)

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        """:raises SandboxUnavailableError: there is no interpreter or no file to give to it"""
        return child_command("launch", workspace, "--", *argv)
