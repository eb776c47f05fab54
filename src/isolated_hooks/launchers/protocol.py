"""What a launcher is: how to write one is in ``docs/launchers.rst``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from ..plan import Identity, Plan
from ..protections import ProtectionStatus

__all__ = ["Availability", "Launcher"]


@dataclasses.dataclass(frozen=True)
class Availability:
    """Whether a launcher can be used on this host, in a sentence why, and what to do where it cannot."""

    available: bool
    reason: str
    remedy: str = ""


class Launcher(Protocol):
    """Sets a sandbox up as a plan says, and runs a command in it.

    One is made without arguments for each use, so it keeps nothing. None of its methods runs the command.
    """

    @property
    def name(self) -> str:
        """The name that ``Policy.launcher`` and ``--launcher`` choose it by."""

    @property
    def identities(self) -> frozenset[Identity]:
        """The ways to a user of the hook's own that it knows. A plan never asks it for another one."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths of what it needs inside the sandbox for itself, to be shown there read-only."""

    def availability(self) -> Availability:
        """Say whether it can be used on this host, as far as can be told without a sandbox."""

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        """Return the state of every protection, each once, if every step of the plan succeeds.

        It is asked before anything is run, and what the policy does not permit is refused. So what is weaker here than
        under ``native`` has to be in the state ``DEGRADED`` or ``UNAVAILABLE``, with the reason and the remedy.
        """

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        """Return the command that runs ``argv`` as the plan says. The frontend, or this package, starts it.

        :param workspace: the private directory of the call, of mode 0700. In it are ``plan``, which is
            ``plan.to_wire()`` as :mod:`marshal` writes it, and ``alive``, a FIFO that is closed when the frontend is
            gone: then everything has to end. The command has to write ``status`` there, see :mod:`..sandbox.status`.
        :param argv: the command; where it is empty, everything is to be tried but the command
        """
