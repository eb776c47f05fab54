"""A ``.tar.gz`` as Python's :mod:`tarfile` reads it, in one pass and in pieces, with bounds on all that it reads.

build, pip, fromager and this package unpack sdists with ``tarfile``, so the members that it sees are the ones that
count. Its weaknesses count too: it reads as many bytes into memory as a header announces, and some releases go
backwards, or take the square of the time. It gets a file that goes forwards only, with few bytes of headers a member.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Set
from typing import Any

from ...errors import UntrustedResultError
from ...text import is_visible
from .rules import MAX_PATH, Budget, Names

__all__ = ["read_tar"]

_BLOCK = 1 << 18
# Two names of 1024 bytes and all else that is said of a member, several times over. From pax records that overlap,
# Python 3.12.3 and older makes the square of that.
_MAX_HEADERS = 8 << 10
# In a row of digits, Python 3.12.5 and older takes the square of their number in steps (CVE-2024-6232).
_LONG_NUMBER = re.compile(rb"[0-9]{128}")
# No "size": there are readers that go by the one in the header itself (CVE-2025-62518).
_PAX_KEYS = frozenset("path linkpath mtime atime ctime uid gid uname gname comment".split())
_PAX_GLOBAL_KEYS = frozenset(("comment", "mtime"))
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_KINDS = (*_FILES, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)
_SPECIAL_BITS, _SETGID = 0o7000, 0o2000
# What tarfile raises for damaged files, some of it by mistake. OSError is the disk's.
_ERRORS = (tarfile.TarError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def read_tar(fd: int, *, limit: int, wanted: Callable[[str], bool], largest: int) -> dict[str, bytes | None]:
    """Return the path of each member of a ``.tar.gz``, with the content of each file that is wanted.

    :param fd: open for reading, of a regular file
    :param limit: the most bytes that it may unpack to
    :param wanted: says of a file's name whether its content is to be returned
    :param largest: the most bytes of such a file
    :raises UntrustedResultError: which rule it breaks
    """
    file = _Unpacked(fd, limit)
    found: dict[str, bytes | None] = {}
    names = Names()
    files: set[str] = set()
    links: dict[str, str] = {}
    try:
        for info in _members(file):
            name = info.name.removesuffix("/") if info.isdir() else info.name
            names.add(name, directory=info.isdir())
            if info.islnk() and info.linkname not in files:
                raise UntrustedResultError("a hard link in a tar file must name a file before it", name)
            if info.issym():
                links[name] = info.linkname
            elif not info.isdir():
                files.add(name)
            found[name] = file.content(info, largest) if info.type in _FILES and wanted(name) else None
    except _ERRORS as error:
        raise UntrustedResultError("a .tar.gz must be one to Python", error) from None
    file.check_end()
    for name, target in links.items():
        _check_symlink(name, target, links.keys())
    return found


class _Unpacked:
    """What a gzip file of one member unpacks to: a file for :mod:`tarfile`, read once from the beginning.

    :ivar left: how many bytes tarfile may read before the next member: headers, as data are skipped
    """

    def __init__(self, fd: int, limit: int) -> None:
        self.left = _MAX_HEADERS
        self._fd = fd
        self._place = self._packed_place = 0
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._ready = bytearray()
        self._budget = Budget(os.fstat(fd).st_size, limit)
        self._last = b""

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> None:
        """Go forwards, to the end at most."""
        if place < self._place:
            raise UntrustedResultError("the members of a tar file must follow each other")
        while self._place < place and self._take(min(_BLOCK, place - self._place)):
            pass

    def read(self, size: int) -> bytes:
        """Return so many bytes of headers, or fewer at the end."""
        self.left -= size
        if size < 0 or self.left < 0:
            raise UntrustedResultError(f"the headers of a tar member must not be larger than {_MAX_HEADERS} bytes")
        self._last = self._take(size)
        if _LONG_NUMBER.search(self._last):
            raise UntrustedResultError("a tar header must not have a number of more than 127 digits")
        return self._last

    def content(self, info: tarfile.TarInfo, largest: int) -> bytes:
        """Return what the member holds whose header was just read; what is missing there is missed with the next."""
        if info.size > largest:
            raise UntrustedResultError(f"this member must not be larger than {largest} bytes", info.name)
        return self._take(info.size)

    def check_end(self) -> None:
        """Check that tarfile has found the end there, and not a header that it cannot read."""
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise UntrustedResultError("a tar file must have an end, and valid checksums in front of it")
        while block := self._take(_BLOCK):
            if any(block):
                raise UntrustedResultError("a tar file must hold nothing behind its end")

    def _take(self, size: int) -> bytes:
        while len(self._ready) < size and (block := self._next()):
            self._ready += block
        data = bytes(self._ready[:size])
        del self._ready[:size]
        self._place += len(data)
        return data

    def _next(self) -> bytes:
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail
            if not packed:
                packed = os.pread(self._fd, _BLOCK, self._packed_place)
                self._packed_place += len(packed)
            if not packed:
                raise UntrustedResultError("a gzip file must not end before its data does")
            try:
                block = self._inflate.decompress(packed, _BLOCK)
            except zlib.error:
                raise UntrustedResultError("a .tar.gz must be valid gzip") from None
            if block:
                self._budget.spend(len(block))
                return block
        if self._inflate.unused_data or os.pread(self._fd, 1, self._packed_place):
            raise UntrustedResultError("a gzip file must be one member with nothing behind it")
        return b""


def _members(file: _Unpacked) -> Iterator[tarfile.TarInfo]:
    place = 0
    options: Any = {"fileobj": file, "mode": "r:", "encoding": "utf-8", "errors": "strict"}
    with tarfile.open(**options) as archive:
        while (info := archive.next()) is not None:
            _check_member(info, archive.pax_headers.keys())
            # One header may hide another from us that changes the size without the place of the next member.
            if info.offset < place:
                raise UntrustedResultError("the members of a tar file must follow each other", info.name)
            place = info.offset_data + info.size
            yield info
            archive.members.clear()  # type: ignore[attr-defined]  # all of them, with all that their headers say
            file.left = _MAX_HEADERS
    if file.tell() < place + tarfile.BLOCKSIZE:
        raise UntrustedResultError("the members of a tar file must follow each other")


def _check_member(info: tarfile.TarInfo, global_keys: Set[str]) -> None:
    if info.pax_headers.keys() - _PAX_KEYS or global_keys - _PAX_GLOBAL_KEYS:
        raise UntrustedResultError(f"an extended header must hold only {', '.join(sorted(_PAX_KEYS))}", info.name)
    if info.type not in _KINDS or info.issparse():
        raise UntrustedResultError("a member of an sdist must be a regular file, a directory or a link", info.name)
    # Directories get the setgid bit from the directory that they are made in.
    if info.mode & _SPECIAL_BITS & ~(_SETGID if info.isdir() else 0):
        raise UntrustedResultError("a member must not have setuid, setgid or sticky bits", info.name)
    if info.size < 0 or (info.size and info.type not in _FILES):
        raise UntrustedResultError("a directory or link in a tar file must not have data", info.name)
    if len(info.linkname) > MAX_PATH:
        raise UntrustedResultError(f"a link must not be longer than {MAX_PATH} characters", info.name)


def _check_symlink(name: str, target: str, links: Set[str]) -> None:
    """Check that a link does not lead out of the sdist's directory, nor through another link."""
    top, where = name.partition("/")[0], name.rpartition("/")[0]
    parts = target.split("/")
    for number, part in enumerate(parts, 1):
        if part == "..":
            where = where.rpartition("/")[0]
        elif part != ".":
            where = f"{where}/{part}"
        # Within what is a link itself, ".." leads to where that link leads.
        through = where in links and number < len(parts)
        if f"{where}/".partition("/")[0] != top or not part or through or not is_visible(part):
            raise UntrustedResultError("a link in an sdist must lead to something within it", f"{name} -> {target}")
