"""The markers of build requirements: this Python has to be able to evaluate each, because every frontend will.

``packaging`` parses more than it evaluates: ``'x' in extras`` has a meaning in a lock file alone, and ``~=`` none for a
text that is no version. Frontends have no error for that.
"""

from __future__ import annotations

from packaging.requirements import Requirement

from ..errors import UntrustedResultError

__all__ = ["vet_marker"]


def vet_marker(requirement: Requirement) -> None:
    """Check that the marker of a build requirement can be evaluated.

    :raises UntrustedResultError: it cannot
    """
    if requirement.marker is None:
        return
    try:
        requirement.marker.evaluate({"extra": ""})
    except (ValueError, LookupError, TypeError, RecursionError):
        raise UntrustedResultError(
            "a build requirement must have a marker that this Python can evaluate (PEP 508)", requirement
        ) from None
