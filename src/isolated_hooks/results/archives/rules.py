"""The rules for archives of every format: their names stay within a directory, and their sizes within bounds.

We never extract an archive: we read it by descriptor, in pieces. For ZIP files we have a reader of our own, stricter
than the standard library's, and compare the two. For tar files we use ``tarfile``, as frontends do.
"""

from __future__ import annotations

import os
import re
import unicodedata
from email.parser import BytesHeaderParser

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ...errors import UntrustedResultError
from ...text import is_visible
from ..metadata import MAX_DOCUMENT, vet_metadata
from ..names import Project

__all__ = [
    "MAX_DOCUMENT",
    "MAX_MEMBERS",
    "MAX_PATH",
    "Budget",
    "Names",
    "check_identity",
    "read_exactly",
    "read_identity",
    "vet_path",
]

MAX_MEMBERS = 65_535
MAX_PATH = 1024
MAX_NAME = 255

# Deflate unpacks to at most 1000 times the size. Real artefacts stay below 50; small ones may hold a file of zeros.
MAX_RATIO = 200
RATIO_FROM = 64 << 20

_DRIVE = re.compile(r"[A-Za-z]:")


class Budget:
    """A count of the bytes that an archive unpacks to, with their limits.

    :param packed: the size of the archive in bytes
    :param limit: the most bytes that all members together may unpack to
    """

    def __init__(self, packed: int, limit: int) -> None:
        self._packed = packed
        self._limit = limit
        self._unpacked = 0

    def spend(self, size: int) -> None:
        """Count ``size`` more unpacked bytes.

        :raises UntrustedResultError: the archive unpacks to more bytes than a limit allows
        """
        self._unpacked += size
        if self._unpacked > self._limit:
            raise UntrustedResultError(f"an archive must not unpack to more than {self._limit} bytes")
        if self._unpacked > RATIO_FROM and self._unpacked > MAX_RATIO * self._packed:
            raise UntrustedResultError(f"an archive must not unpack to more than {MAX_RATIO} times its size")


class Names:
    """The names of an archive's members: each once, and no member replaces another when an installer unpacks them.

    Two names are the same if a file system that ignores case or normalises Unicode treats them as the same.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._directories: set[str] = set()
        self._implied: set[str] = set()

    def add(self, path: str, *, directory: bool) -> None:
        """Add the name of the next member.

        :raises UntrustedResultError: :func:`vet_path` refuses it, or an earlier member has it
        """
        vet_path(path)
        if len(self._files) + len(self._directories) >= MAX_MEMBERS:
            raise UntrustedResultError(f"an archive must not have more than {MAX_MEMBERS} members")
        folded = _folded(path)
        parents = _parents(folded)
        if not self._files.isdisjoint(parents):
            raise UntrustedResultError("a member of an archive must not lie within a file", path)
        taken = folded in self._files or folded in self._directories or (not directory and folded in self._implied)
        if taken:
            raise UntrustedResultError("a member's name must be there once, in any case", path)
        (self._directories if directory else self._files).add(folded)
        self._implied.update(parents)


def vet_path(path: str) -> str:
    """Return ``path``, the relative path of a member, if it keeps to the rules.

    :raises UntrustedResultError: it is absolute, holds ``.`` or ``..``, is not normalised, has a backslash or an
        invisible character, is longer than 1024 bytes or has a component longer than 255 bytes
    """
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") for part in parts) or "\\" in path or _DRIVE.match(path):
        raise UntrustedResultError("a member's name must be a normalised relative path", path or "(empty)")
    if not is_visible(path):
        raise UntrustedResultError("a member's name must not contain control or invisible characters", path)
    if len(path.encode()) > MAX_PATH or any(len(part.encode()) > 255 for part in parts):
        raise UntrustedResultError(
            f"a member's name must not be longer than {MAX_PATH} bytes, nor its parts longer than 255 bytes", path
        )
    return path


def check_identity(document: bytes, expected: Project, where: str) -> None:
    """Check that core metadata have the name and the version in the name of their archive or directory.

    :param document: METADATA or PKG-INFO
    :param where: its path, for the error
    :raises UntrustedResultError: they have another name or version
    """
    name, version = read_identity(document, where)
    if name != expected[0]:
        raise UntrustedResultError(f"{where} must have the name in the file name (expected {expected[0]})", name)
    if version != expected[1]:
        raise UntrustedResultError(f"{where} must have the version in the file name (expected {expected[1]})", version)


def read_identity(document: bytes, where: str) -> Project:
    """Return the project that core metadata describe.

    :raises UntrustedResultError: they do not have exactly one valid name and version, or :func:`vet_metadata` refuses
        them
    """
    vet_metadata(document, where)
    try:
        message = BytesHeaderParser().parsebytes(document)
        names, versions = message.get_all("Name", []), message.get_all("Version", [])
        if len(names) == len(versions) == 1:
            name, version = str(names[0]).strip(), str(versions[0]).strip()
            # Not only to keep the message short: Version() takes unbounded time to read a number of many digits.
            if len(name) <= MAX_NAME and len(version) <= MAX_NAME:
                return canonicalize_name(name, validate=True), Version(version)
    except (ValueError, LookupError, RecursionError, InvalidVersion):
        pass
    raise UntrustedResultError(f"{where} must have one valid Name and one valid Version")


def read_exactly(fd: int, size: int, offset: int) -> bytes:
    """Read ``size`` bytes of a regular file at ``offset``.

    :raises UntrustedResultError: the file ends before that
    """
    data = bytearray()
    while len(data) < size:
        piece = os.pread(fd, size - len(data), offset + len(data))
        if not piece:
            raise UntrustedResultError("an archive must not end before the data that it announces")
        data += piece
    return bytes(data)


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
