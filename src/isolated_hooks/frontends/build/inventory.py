"""Lists the distributions in a build environment, as data, and checks which requirements they meet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ...errors import UntrustedResultError
from ...results.markers import vet_marker
from ...results.requirements import FILE, WEB, vet_requirement
from ...text import visible
from .installation import RequirementsError, scheme_of

__all__ = ["installed_in", "is_met", "parsed"]

# Ten microseconds each. What a hook and a wheel ask for can take the product of all their extras and dependencies.
MAX_STEPS = 100_000
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def installed_in(prefix: str) -> dict[str, Distribution]:
    """Return the distributions installed under a prefix, by canonical name.

    It leaves out a distribution without a valid name or version, because both go into files that pip reads.
    """
    scheme = scheme_of(prefix)
    installed: dict[str, Distribution] = {}
    for distribution in distributions(path=[*dict.fromkeys((scheme["purelib"], scheme["platlib"]))]):
        try:
            name = canonicalize_name(distribution.metadata["Name"] or "")
            Version(distribution.version)
        # Not UTF-8, no version, or none at all. The backport importlib_metadata, once imported, finds distributions for
        # the standard library too, and raises an OSError for the last.
        except (OSError, ValueError, TypeError):
            continue
        if _NAME.fullmatch(name):
            installed.setdefault(name, distribution)
    return installed


def parsed(text: str, *, local: bool = False) -> Requirement:
    """Parse a requirement of a project or of its backend.

    :param local: whether the requirement may refer to a file on this host
    :raises RequirementsError: the text has none of the forms that :mod:`...results.requirements` lists: it is an option
        or a path, for instance; or it refers to a file on this host and ``local`` is false
    """
    try:
        return Requirement(vet_requirement(text, schemes=WEB | FILE if local else WEB))
    except UntrustedResultError as problem:
        remedy = ""
        if "file on this host" in problem.rule and not local:
            remedy = ". Remedy: if you trust it, set allow-url-requirements = true in the policy"
        raise RequirementsError(
            f"not a build requirement of an accepted form: {visible(text, limit=200)!r} ({problem.rule}){remedy}"
        ) from problem


def is_met(requirement: Requirement, installed: Mapping[str, Distribution]) -> bool:
    """Return whether a requirement and its dependencies are installed, or do not apply to this interpreter.

    :raises RequirementsError: nobody can say whether it applies
    """
    try:
        vet_marker(requirement)
    except UntrustedResultError as problem:
        raise RequirementsError(f"{problem.rule}: {problem.text}") from problem
    try:
        return _Question(installed).is_met(requirement, "")
    except (ValueError, LookupError, TypeError, RecursionError):
        return False  # the metadata is not valid, or takes too long: leave the judgement to the installer


class _Question:
    """The search for one requirement and its dependencies.

    :raises LookupError: it takes more than :data:`MAX_STEPS`
    """

    def __init__(self, installed: Mapping[str, Distribution]) -> None:
        self._installed = installed
        self._seen: set[str] = set()
        self._dependencies: dict[str, list[Requirement]] = {}
        self._steps = 0

    def is_met(self, requirement: Requirement, extra: str) -> bool:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise LookupError("too many steps")
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            return True
        name = canonicalize_name(requirement.name)
        distribution = self._installed.get(name)
        if distribution is None or requirement.url:
            return False
        if not requirement.specifier.contains(distribution.version, prereleases=True):
            return False
        if str(requirement) in self._seen:
            return True
        self._seen.add(str(requirement))
        if name not in self._dependencies:  # each look at a distribution reads its METADATA
            self._dependencies[name] = [*map(Requirement, distribution.requires or ())]
        extras = ("", *requirement.extras)
        return all(self.is_met(other, chosen) for other in self._dependencies[name] for chosen in extras)
