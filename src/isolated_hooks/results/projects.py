"""Which project a hook is asked about, known before it runs: what it returns has to be named after that.

``[project].name`` of pyproject.toml, and the metadata that were prepared before, where the frontend hands them on. A
project that gives its name in no such place is not known, and then nothing is compared.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import sys

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from ..errors import UntrustedResultError
from .archives.rules import MAX_DOCUMENT, read_identity
from .names import DIST_INFO, Project, split_project

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Expected", "check_result", "check_unchanged", "declared_name", "expected_of"]

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAX_PYPROJECT = 512 << 10
# A key of n parts costs the parser n squared. Nobody's line has so many, but for a line that was made to.
_MAX_DOTS = 1000
_PROJECT = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What is known of a project before a hook runs.

    :ivar declared: the normalised name in pyproject.toml, ``None`` where it is not known
    :ivar prepared: normalised name and version of the metadata that the hook is given, ``None`` likewise
    """

    declared: str | None = None
    prepared: Project | None = None


def expected_of(source: str, metadata_directory: str | None) -> Expected:
    """Return what is known now.

    :param source: the source tree
    :param metadata_directory: the ``.dist-info`` directory that the frontend hands to the hook
    """
    prepared = None
    if metadata_directory is not None:
        document = _read(metadata_directory, "METADATA", MAX_DOCUMENT)
        try:
            prepared = read_identity(document, "METADATA")
        except UntrustedResultError:
            pass  # the frontend's own, so no refusal of what the hook is about to do
    return Expected(declared_name(source), prepared)


def declared_name(source: str) -> str | None:
    """Return the normalised name that pyproject.toml gives the project, ``None`` where it gives none.

    An earlier hook may have put anything there, so nothing is followed, waited for, or read without end.
    """
    text = _read(source, "pyproject.toml", _MAX_PYPROJECT)
    if max((line.count(b".") for line in text.splitlines()), default=0) > _MAX_DOTS:
        return None
    try:
        project = tomllib.loads(text.decode()).get("project")
    except (ValueError, RecursionError):
        return None
    name = project.get("name") if isinstance(project, dict) else None
    return canonicalize_name(name) if isinstance(name, str) and _PROJECT.fullmatch(name) else None


def check_unchanged(expected: Expected, source: str) -> None:
    """Check that a hook has not given the project another name, which the next one would be compared with.

    :raises UntrustedResultError: it has
    """
    if expected.declared is None:
        return
    now = declared_name(source)
    if now != expected.declared:
        raise UntrustedResultError(
            f"a hook must not change [project].name in pyproject.toml, which was {expected.declared!r}, unless the "
            "policy allows other names",
            now or "(none)",
        )


def check_result(hook: str, returned: str, expected: Expected) -> None:
    """Check that an artefact or a metadata directory is named after the project.

    :param returned: its name, vetted as one of its kind
    :raises UntrustedResultError: it is not
    """
    name, version = _parsed(hook, returned)
    allowed = "unless the policy allows other names"
    if expected.declared not in (None, name):
        rule = f"it must be named after the project, which is {expected.declared!r} in pyproject.toml, {allowed}"
        raise UntrustedResultError(rule, returned)
    if expected.prepared not in (None, (name, version)):
        rule = f"it must have the name and version of its prepared metadata, {_told(expected)}, {allowed}"
        raise UntrustedResultError(rule, returned)


def _parsed(hook: str, returned: str) -> Project:
    if hook == "build_sdist":
        return parse_sdist_filename(returned)
    if hook.startswith("prepare_metadata_for_"):
        return split_project(returned, ending=DIST_INFO)
    name, version, *_ = parse_wheel_filename(returned)
    return name, version


def _told(expected: Expected) -> str:
    name, version = expected.prepared or ("", "")
    return f"{name} {version}"


def _read(directory: str, name: str, limit: int) -> bytes:
    """Return what a file holds, or nothing where it is not a regular file of a sensible size that can be read."""
    try:
        fd = os.open(os.path.join(directory, name), _FLAGS)
    except OSError:
        return b""
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            return b""
        with open(fd, "rb", closefd=False) as file:
            return file.read(limit)
    except OSError:
        return b""
    finally:
        os.close(fd)
