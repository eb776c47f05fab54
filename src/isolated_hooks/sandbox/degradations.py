"""What a host cannot give, where the policy allows it to be weaker."""

from __future__ import annotations

from . import pipes

if False:
    from collections.abc import Collection


class Degradations:
    """Decides whether a protection may be weaker, and tells the launcher of each that is.

    :param allowed: the names of protections that the policy lets be degraded
    :param report: where to send what was degraded
    """

    def __init__(self, allowed: Collection[bytes], report: int) -> None:
        self._allowed = allowed
        self._report = report

    def allow(self, protection: str, reason: str) -> None:
        """Report that ``protection`` is degraded, or raise the exception that is being handled if it may not be."""
        if protection.encode() not in self._allowed:
            raise
        pipes.send(self._report, "degraded", protection, reason)
