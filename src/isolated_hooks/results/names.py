"""Names that hold a project's name and version: ``NAME-VERSION``, and ``NAME-VERSION.dist-info``."""

from __future__ import annotations

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

__all__ = ["DIST_INFO", "Project", "is_named_after", "project_of", "split_project"]

DIST_INFO = ".dist-info"

Project = tuple[str, Version]
"""A project's normalised name and its version."""


def split_project(name: str, *, ending: str = "") -> Project:
    """Return the project that a file or directory is named after.

    The last dash separates them: an escaped version has no dash, while a name that is not normalised may have some.

    :param ending: the text after the version, such as ``.dist-info``
    :raises ValueError: it is not ``NAME-VERSION`` with this ending
    """
    project, _, version = name.removesuffix(ending).rpartition("-")
    if not project or not name.endswith(ending):
        raise ValueError(f"not NAME-VERSION{ending}: {name!r}")
    return canonicalize_name(project), Version(version)


def project_of(artefact: str) -> Project:
    """Return the project that a wheel or an sdist is named after.

    :param artefact: its vetted file name
    """
    if artefact.endswith(".whl"):
        return parse_wheel_filename(artefact)[:2]
    return parse_sdist_filename(artefact)


def is_named_after(project: Project, name: str, *, ending: str = "") -> bool:
    """Return whether a file or directory is named after a project, in any spelling of both its parts."""
    try:
        return split_project(name, ending=ending) == project
    except ValueError:
        return False
