"""What is installed in a build environment, read as data, and which requirements that meets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ...text import visible
from .installation import RequirementsError, scheme_of

__all__ = ["installed_in", "is_met", "parsed"]

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_REFUSED = re.compile(r"[\x00-\x1f\x7f]")


def installed_in(prefix: str) -> dict[str, Distribution]:
    """Return the distributions installed beneath a prefix, by canonical name.

    One without a proper name or version is none: both go into files that pip reads.
    """
    scheme = scheme_of(prefix)
    installed: dict[str, Distribution] = {}
    for distribution in distributions(path=[*dict.fromkeys((scheme["purelib"], scheme["platlib"]))]):
        try:
            name = canonicalize_name(distribution.metadata["Name"] or "")
            Version(distribution.version)
        except (ValueError, TypeError):  # not UTF-8, no version, or none at all
            continue
        if _NAME.fullmatch(name):
            installed.setdefault(name, distribution)
    return installed


def parsed(text: str, *, local: bool = False) -> Requirement:
    """Return a requirement of a project or of its backend.

    :param local: whether it may be a file of this host
    :raises RequirementsError: it is something else, an option for instance, or the path of a file
    """
    try:
        # In the URL of a requirement, packaging takes line ends for a part of it.
        requirement = None if _REFUSED.search(text) else Requirement(text)
    except InvalidRequirement:
        requirement = None
    if requirement is None:
        raise RequirementsError(f"not a build requirement as PEP 508 defines it: {visible(text, limit=200)!r}")
    if requirement.url and urlsplit(requirement.url).scheme.endswith("file") and not local:
        raise RequirementsError(
            f"the build requirement {visible(text, limit=200)!r} would have a file of this host read for the project: "
            "if that is meant, set allow-url-requirements = true in the policy"
        )
    return requirement


def is_met(requirement: Requirement, installed: Mapping[str, Distribution]) -> bool:
    """Return whether a requirement and all that follows from it is installed, or is not for this interpreter."""
    try:
        return _is_met(requirement, installed, extra="", seen=set())
    except ValueError:
        return False  # by metadata that is not valid, which is for the installer to judge


def _is_met(requirement: Requirement, installed: Mapping[str, Distribution], *, extra: str, seen: set[str]) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return True
    distribution = installed.get(canonicalize_name(requirement.name))
    if distribution is None or requirement.url:
        return False
    if not requirement.specifier.contains(distribution.version, prereleases=True):
        return False
    if str(requirement) in seen:
        return True
    seen.add(str(requirement))
    further = map(Requirement, distribution.requires or ())
    extras = ("", *requirement.extras)
    return all(_is_met(other, installed, extra=extra, seen=seen) for other in further for extra in extras)
