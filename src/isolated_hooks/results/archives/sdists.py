"""The deep check of an sdist: its structure, its names and links, and the project in its file name (PEP 625)."""

from __future__ import annotations

from packaging.utils import parse_sdist_filename

from ...errors import UntrustedResultError
from ..names import is_named_after
from .rules import MAX_DOCUMENT, check_identity
from .tararchive import read_tar
from .ziparchive import ZipArchive

__all__ = ["check_members", "check_sdist"]


def check_sdist(fd: int, name: str, *, limit: int) -> None:
    """Check an sdist.

    :param fd: a descriptor open for reading, of a regular file that no process changes
    :param name: its file name
    :param limit: the most bytes that it may unpack to
    :raises UntrustedResultError: the sdist breaks a rule
    """
    project = parse_sdist_filename(name)
    metadata = _read(fd, name, limit)
    tops = {path.split("/")[0] for path in metadata}
    if len(tops) != 1:
        raise UntrustedResultError("an sdist must have exactly one directory at its top", ", ".join(sorted(tops)[:5]))
    top = tops.pop()
    if not is_named_after(project, top):
        raise UntrustedResultError("the directory in an sdist must be named after it (expected NAME-VERSION)", top)
    document = metadata.get(f"{top}/PKG-INFO")
    if document is None:
        raise UntrustedResultError("an sdist must have a file PKG-INFO", f"{top}/PKG-INFO")
    check_identity(document, project, f"{top}/PKG-INFO")


def check_members(fd: int, name: str, *, limit: int) -> None:
    """Check that an sdist unpacks only into the directory that the frontend chooses. We do not read its metadata.

    :param fd, name, limit: as :func:`check_sdist`
    :raises UntrustedResultError: the sdist breaks a rule
    """
    _read(fd, name, limit)


def _read(fd: int, name: str, limit: int) -> dict[str, bytes | None]:
    """Return the path of each member, with the content of each member that may be its metadata."""
    if name.endswith(".zip"):
        return _read_zip(fd, limit)
    return read_tar(fd, limit=limit, wanted=_is_metadata, largest=MAX_DOCUMENT)


def _is_metadata(path: str) -> bool:
    return path.count("/") == 1 and path.endswith("/PKG-INFO")


def _read_zip(fd: int, limit: int) -> dict[str, bytes | None]:
    archive = ZipArchive(fd, limit=limit)
    contents: dict[str, bytes | None] = {}
    for member in archive.members:
        wanted = _is_metadata(member.name) and not member.directory
        contents[member.name] = archive.read(member) if wanted else None
        if not wanted:
            for _ in archive.blocks(member):
                pass
    return contents
