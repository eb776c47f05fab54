"""Degradations: protections that the host weakens and that the policy allows to be weaker."""

from __future__ import annotations

from . import pipes

if False:
    from collections.abc import Collection


class Degradations:
    """Decides whether a protection may be weaker, and reports each that is to the launcher.

    :param allowed: the names of the protections that the policy allows to be degraded
    :param report: the descriptor to send the reports to
    """

    def __init__(self, allowed: Collection[bytes], report: int) -> None:
        self._allowed = allowed
        self._report = report

    def allow(self, protection: str, reason: str) -> None:
        """Report that ``protection`` is degraded. If the policy forbids that, raise the exception being handled."""
        if protection.encode() not in self._allowed:
            raise
        pipes.send(self._report, "degraded", protection, reason)
