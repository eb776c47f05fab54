"""The deep check of an sdist: its structure, its names and links, and that it is what its file name says (PEP 625)."""

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

    :param fd: open for reading, of a regular file that nobody changes
    :param name: its file name
    :param limit: the most bytes that it may unpack to
    :raises UntrustedResultError: which rule it breaks
    """
    project = parse_sdist_filename(name)
    metadata = _read(fd, name, limit)
    tops = {path.split("/")[0] for path in metadata}
    if len(tops) != 1:
        raise UntrustedResultError("an sdist must have exactly one directory at its top", ", ".join(sorted(tops)[:5]))
    top = tops.pop()
    if not is_named_after(project, top):
        raise UntrustedResultError("the directory in an sdist must be named after it", top)
    document = metadata.get(f"{top}/PKG-INFO")
    if document is None:
        raise UntrustedResultError("an sdist must have a file PKG-INFO", f"{top}/PKG-INFO")
    check_identity(document, project, f"{top}/PKG-INFO")


def check_members(fd: int, name: str, *, limit: int) -> None:
    """Check that nothing of an sdist is unpacked to another place than the one that is meant; its words are not read.

    :param fd, name, limit: as :func:`check_sdist`
    :raises UntrustedResultError: which rule it breaks
    """
    _read(fd, name, limit)


def _read(fd: int, name: str, limit: int) -> dict[str, bytes | None]:
    """Return the path of each member, with the content of each that may be its metadata."""
    if name.endswith(".zip"):
        return _read_zip(fd, limit)
    return read_tar(fd, limit=limit, wanted=_is_metadata, largest=MAX_DOCUMENT)


def _is_metadata(path: str) -> bool:
    return path.count("/") == 1 and path.endswith("/PKG-INFO")


def _read_zip(fd: int, limit: int) -> dict[str, bytes | None]:
    archive = ZipArchive(fd, limit=limit)
    found: dict[str, bytes | None] = {}
    for member in archive.members:
        wanted = _is_metadata(member.name) and not member.directory
        found[member.name] = archive.read(member) if wanted else None
        if not wanted:
            for _ in archive.blocks(member):
                pass
    return found
