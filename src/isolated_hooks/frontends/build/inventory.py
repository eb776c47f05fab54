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
        except (ValueError, TypeError):  # not UTF-8, no version, or none at all
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
        return _is_met(requirement, installed, extra="", seen=set())
    except (ValueError, LookupError, TypeError, RecursionError):
        return False  # the metadata is not valid: leave the judgement to the installer


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
    dependencies = map(Requirement, distribution.requires or ())
    extras = ("", *requirement.extras)
    return all(_is_met(other, installed, extra=extra, seen=seen) for other in dependencies for extra in extras)
