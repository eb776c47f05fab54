"""The result of the build of one package."""

from __future__ import annotations

import enum

from ..frozen import dataclass
from ..report import HookReport
from .requests import BuildRequest

__all__ = ["BuildResult", "BuiltFile", "Outcome", "UsedWheel"]


class Outcome(enum.Enum):
    """How the build of a package ended."""

    BUILT = "built"
    #: An earlier run has built it from the same inputs.
    STANDS = "stands"
    FAILED = "failed"
    #: A hook was ended because of a limit of the policy.
    LIMIT = "limit"
    #: What a hook left was refused, or the policy does not fit.
    REFUSED = "refused"
    #: The sandbox is unavailable on this host or could not be set up.
    UNAVAILABLE = "no sandbox"
    #: It did not run, or not to its end, because of an interrupt or the failure of another package that it may need.
    STOPPED = "stopped"


@dataclass(frozen=True)
class BuiltFile:
    """An artefact in its place.

    :ivar path: its path
    :ivar size: its size in bytes
    :ivar sha256: the hexadecimal digest of its content
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class UsedWheel:
    """A wheel of the same run that a build could use for its build requirements.

    :ivar name: the normalised name of its project
    :ivar version: its version
    :ivar sha256: the hexadecimal digest of its content
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class BuildResult:
    """The result of one request. It can be pickled.

    :ivar request: the request
    :ivar outcome: how the build ended
    :ivar wheel: the wheel, if it was asked for and built
    :ivar sdist: the sdist, if it was asked for and built
    :ivar error: why it was not built, escaped; otherwise empty
    :ivar kind: the name of the class of that error, if it is one of this package's, such as ``HookTimeoutError``
    :ivar seconds: the wall time of the build, in seconds
    :ivar hooks: one report for each hook, also of those of build requirements
    :ivar log: the end of the output of the build, filtered as that of ``isolated-hooks build``
    :ivar source_sha256: the hexadecimal digest of the sdist; empty for a source tree
    :ivar requirements: the build requirements of the project itself that it needed here, without their markers
    :ivar used: the wheels of the same run that it could use for them
    """

    request: BuildRequest
    outcome: Outcome
    wheel: BuiltFile | None = None
    sdist: BuiltFile | None = None
    error: str = ""
    kind: str = ""
    seconds: float = 0.0
    hooks: tuple[HookReport, ...] = ()
    log: str = ""
    source_sha256: str = ""
    requirements: tuple[str, ...] = ()
    used: tuple[UsedWheel, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether its artefacts are there."""
        return self.outcome in (Outcome.BUILT, Outcome.STANDS)
