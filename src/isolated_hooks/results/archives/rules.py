"""What every archive has to keep to, of whatever format: names that stay within a directory, and bounds.

Nothing is ever extracted. An archive is read by descriptor, in pieces. ZIP files have a reader of our own that is
stricter than the one of the standard library, and compared with it; tar files are read by the one that unpacks them.
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
MAX_DOCUMENT = 16 << 20
"""The most bytes of a file in an archive that is read as a whole, such as METADATA."""

# Deflate makes a thousand out of one at most. Real artefacts stay below 50, and small ones may hold a file of zeros.
MAX_RATIO = 200
RATIO_FROM = 64 << 20

_DRIVE = re.compile(r"[A-Za-z]:")


class Budget:
    """How much an archive may still unpack to.

    :param packed: bytes of the archive
    :param limit: the most bytes of all members together
    """

    def __init__(self, packed: int, limit: int) -> None:
        self._packed = packed
        self._limit = limit
        self._unpacked = 0

    def spend(self, size: int) -> None:
        """Take a number of bytes.

        :raises UntrustedResultError: that is more than there may be
        """
        self._unpacked += size
        if self._unpacked > self._limit:
            raise UntrustedResultError(f"an archive must not unpack to more than {self._limit} bytes")
        if self._unpacked > RATIO_FROM and self._unpacked > MAX_RATIO * self._packed:
            raise UntrustedResultError(f"an archive must not unpack to more than {MAX_RATIO} times its size")


class Names:
    """The names of an archive's members: each once, and none that another replaces where it is unpacked.

    Two names are the same that a file system without case, or one that normalises Unicode, takes for the same.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._directories: set[str] = set()
        self._implied: set[str] = set()

    def add(self, path: str, *, directory: bool) -> None:
        """Take the name of the next member.

        :raises UntrustedResultError: :func:`vet_path` refuses it, or it was there before
        """
        vet_path(path)
        if len(self._files) + len(self._directories) >= MAX_MEMBERS:
            raise UntrustedResultError(f"an archive must not have more than {MAX_MEMBERS} members")
        folded = _folded(path)
        above = _above(folded)
        if not self._files.isdisjoint(above):
            raise UntrustedResultError("a member of an archive must not lie within a file", path)
        taken = folded in self._files or folded in self._directories or (not directory and folded in self._implied)
        if taken:
            raise UntrustedResultError("a member's name must be there once, in whatever case", path)
        (self._directories if directory else self._files).add(folded)
        self._implied.update(above)


def vet_path(path: str) -> str:
    """Return the relative path of a member.

    :raises UntrustedResultError: it is absolute, leads up or through ``.``, is not normalised, has a backslash or a
        hidden character, is longer than 1024 bytes or has a component longer than 255
    """
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") for part in parts) or "\\" in path or _DRIVE.match(path):
        raise UntrustedResultError("a member's name must be a relative path that leads nowhere else", path or "(empty)")
    if not is_visible(path):
        raise UntrustedResultError("a member's name must not contain control or invisible characters", path)
    if len(path.encode()) > MAX_PATH or any(len(part.encode()) > 255 for part in parts):
        raise UntrustedResultError(
            f"a member's name must not be longer than {MAX_PATH} bytes, its parts than 255", path
        )
    return path


def check_identity(document: bytes, expected: Project, where: str) -> None:
    """Check that core metadata have the name and the version of the file that they came in.

    :param document: METADATA or PKG-INFO
    :param where: what to call it in the error
    :raises UntrustedResultError: they have not
    """
    name, version = read_identity(document, where)
    if name != expected[0]:
        raise UntrustedResultError(f"{where} must have the name that the file name has, {expected[0]}", name)
    if version != expected[1]:
        raise UntrustedResultError(f"{where} must have the version that the file name has, {expected[1]}", version)


def read_identity(document: bytes, where: str) -> Project:
    """Return the project that core metadata describe.

    :raises UntrustedResultError: they do not have exactly one valid name and version
    """
    try:
        message = BytesHeaderParser().parsebytes(document)
        names, versions = message.get_all("Name", []), message.get_all("Version", [])
        if len(names) == len(versions) == 1:
            name, version = str(names[0]).strip(), str(versions[0]).strip()
            # Not only for the sake of the message: to read a number of many digits takes time without bounds.
            if len(name) <= MAX_NAME and len(version) <= MAX_NAME:
                return canonicalize_name(name, validate=True), Version(version)
    except (ValueError, LookupError, RecursionError, InvalidVersion):
        pass
    raise UntrustedResultError(f"{where} must have one valid Name and one valid Version")


def read_exactly(fd: int, size: int, offset: int) -> bytes:
    """Read bytes of a regular file at a place.

    :raises UntrustedResultError: there are not that many
    """
    data = bytearray()
    while len(data) < size:
        piece = os.pread(fd, size - len(data), offset + len(data))
        if not piece:
            raise UntrustedResultError("an archive must not end before what it announces")
        data += piece
    return bytes(data)


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
