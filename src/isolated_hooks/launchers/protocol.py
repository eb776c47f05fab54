"""The interface of a launcher. ``docs/launchers.rst`` explains how to write one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..frozen import dataclass
from ..plan import Identity, Plan
from ..protections import ProtectionStatus

__all__ = ["Availability", "Launcher"]


@dataclass(frozen=True)
class Availability:
    """Whether a launcher works on this host.

    :ivar available: whether it works
    :ivar reason: one sentence that says why, or why not
    :ivar remedy: what the user can do about it; empty if the launcher is available
    """

    available: bool
    reason: str
    remedy: str = ""


class Launcher(Protocol):
    """Sets a sandbox up according to a plan, and runs a command in it.

    This package constructs a launcher without arguments for each use, so a launcher keeps no state. None of its methods
    runs the command.

    A launcher that opens the way to named hosts, see :mod:`..sandbox.wayout`, has an attribute ``proxied``, which is
    true. For any other, we refuse policies that name hosts. One whose sandbox can observe a hook, see
    :mod:`..sandbox.observing`, has an attribute ``observes``, which is true. For any other, we refuse to. If a
    fork of :mod:`..sandbox.serve` may take the place of its command, it has an attribute ``warm``, which is true.
    """

    @property
    def name(self) -> str:
        """The name by which ``Policy.launcher`` and ``--launcher`` select it."""

    @property
    def identities(self) -> frozenset[Identity]:
        """The kinds of identity that it can give a hook. No plan asks it for any other kind."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths of the files that it needs inside the sandbox. The plan mounts them read-only."""

    def availability(self) -> Availability:
        """Return whether it works on this host, as far as it can tell without setting a sandbox up."""

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        """Return the state of every protection, each once, if every step of the plan succeeds.

        The frontend calls it before it runs anything, and refuses the call if the policy does not permit a state. So
        a protection that is weaker here than under ``native`` must have the state ``DEGRADED`` or ``UNAVAILABLE``, with
        the reason and the remedy.
        """

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        """Return the command that runs ``argv`` according to the plan. The frontend, or this package, starts it.

        :param workspace: the private directory of the call, of mode 0700. It holds ``plan``, which is
            ``plan.to_wire()`` as :mod:`marshal` writes it, and ``alive``, a FIFO. The frontend's end of the FIFO closes
            when the frontend exits; the command must then end all its processes. The command must write the file
            ``status`` there, see :mod:`..sandbox.status`.
        :param argv: the command. If it is empty, the launcher sets the sandbox up and runs nothing in it.
        """
