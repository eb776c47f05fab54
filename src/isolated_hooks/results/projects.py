"""The project that the frontend asks a hook about, known before the hook runs. Its results must be named after it.

We know it from ``[project].name`` in pyproject.toml, and from the prepared metadata if the frontend hands them to the
hook. If neither names the project, we do not know it, and compare no names.
"""

from __future__ import annotations

import functools
import os
import re
import stat

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from ..errors import UntrustedResultError
from ..files.documents import parse_toml
from ..frozen import dataclass
from .archives.rules import MAX_DOCUMENT, read_identity
from .names import DIST_INFO, Project, split_project

__all__ = ["Expected", "check_result", "check_unchanged", "declared_name", "expected_of"]

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAX_PYPROJECT = 512 << 10
_PROJECT = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Expected:
    """The project as we know it before a hook runs.

    :ivar declared: the normalised name in pyproject.toml, or ``None`` if we do not know it
    :ivar prepared: the normalised name and version in the metadata that the hook gets, or ``None`` if we do not know
        them
    """

    declared: str | None = None
    prepared: Project | None = None


def expected_of(source: str, metadata_directory: str | None) -> Expected:
    """Return the project as we know it now.

    :param source: the source tree
    :param metadata_directory: the ``.dist-info`` directory that the frontend hands to the hook, if any
    """
    prepared = None
    if metadata_directory is not None:
        document = _read(metadata_directory, "METADATA", MAX_DOCUMENT)
        try:
            prepared = read_identity(document, "METADATA")
        except UntrustedResultError:
            pass  # they are the frontend's own, so they are no reason to refuse the hook's results
    return Expected(declared_name(source), prepared)


def declared_name(source: str) -> str | None:
    """Return the normalised name that pyproject.toml gives the project, or ``None`` if it gives none.

    An earlier hook may have put anything there, so we follow no link, wait for no FIFO, and bound both the read and the
    parser's work.
    """
    return _name_in(_read(source, "pyproject.toml", _MAX_PYPROJECT))


# Every hook of a build asks twice, and the content hardly ever changes.
@functools.lru_cache(maxsize=4)
def _name_in(document: bytes) -> str | None:
    try:
        project = parse_toml(document).get("project")
    except ValueError:
        return None
    name = project.get("name") if isinstance(project, dict) else None
    return canonicalize_name(name) if isinstance(name, str) and _PROJECT.fullmatch(name) else None


def check_unchanged(expected: Expected, source: str) -> None:
    """Check that a hook has not renamed the project: we compare the next hook's results with that name.

    :raises UntrustedResultError: it has renamed the project
    """
    if expected.declared is None:
        return
    now = declared_name(source)
    if now != expected.declared:
        raise UntrustedResultError(
            f"a hook must not change [project].name in pyproject.toml (expected {expected.declared!r}) unless the "
            "policy allows other names",
            now or "(none)",
        )


def check_result(hook: str, returned: str, expected: Expected) -> None:
    """Check that an artefact or a metadata directory is named after the project.

    :param returned: its vetted name
    :raises UntrustedResultError: it is not
    """
    name, version = _parsed(hook, returned)
    allowed = "unless the policy allows other names"
    if expected.declared not in (None, name):
        source = f"expected {expected.declared!r}, from pyproject.toml"
        rule = f"the result must be named after the project ({source}) {allowed}"
        raise UntrustedResultError(rule, returned)
    if expected.prepared not in (None, (name, version)):
        prepared = _prepared_text(expected)
        rule = f"the result must have the name and version of the prepared metadata (expected {prepared}) {allowed}"
        raise UntrustedResultError(rule, returned)


def _parsed(hook: str, returned: str) -> Project:
    if hook == "build_sdist":
        return parse_sdist_filename(returned)
    if hook.startswith("prepare_metadata_for_"):
        return split_project(returned, ending=DIST_INFO)
    name, version, *_ = parse_wheel_filename(returned)
    return name, version


def _prepared_text(expected: Expected) -> str:
    name, version = expected.prepared or ("", "")
    return f"{name} {version}"


def _read(directory: str, name: str, limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes, or no bytes if it is another or unreadable."""
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
