"""A ``.tar.gz`` as Python's :mod:`tarfile` reads it, in one pass and in pieces, with a bound on everything it reads.

build, pip, fromager and this package unpack sdists with ``tarfile``, so the members that it sees are the ones that
count. Its weaknesses count too: it reads as many bytes into memory as a header announces, and some releases seek
backwards, or take quadratic time. So we give it a file that only goes forwards, with few bytes of headers per member.
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
# Several times the size of two names of 1024 bytes and a member's other fields. If pax records overlap, Python 3.12.3
# and older reads the square of that.
_MAX_HEADERS = 8 << 10
# tarfile keeps the headers of all members when it unpacks them. As many members as we allow have half of this.
_MAX_ALL_HEADERS = 128 << 20
# For n digits in a row, Python 3.12.5 and older takes n squared steps (CVE-2024-6232).
_LONG_NUMBER = re.compile(rb"[0-9]{128}")
# Some readers use the size in the header itself (CVE-2025-62518), so "size", which uv_build writes, must say the same.
_SIZE_FIELD = slice(124, 136)
_PAX_KEYS = frozenset("path linkpath mtime atime ctime uid gid uname gname comment".split())
_PAX_GLOBAL_KEYS = frozenset(("comment", "mtime"))
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_KINDS = (*_FILES, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)
_SPECIAL_BITS, _SETGID = 0o7000, 0o2000
# tarfile raises these for damaged files, some of them by mistake. OSError comes from the disk, so it is not here.
_ERRORS = (tarfile.TarError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def read_tar(fd: int, *, limit: int, wanted: Callable[[str], bool], largest: int) -> dict[str, bytes | None]:
    """Return the path of each member of a ``.tar.gz``, with the content of each wanted file.

    :param fd: a descriptor open for reading, of a regular file
    :param limit: the most bytes that it may unpack to
    :param wanted: returns whether to return the content of the file with this name
    :param largest: the most bytes that a wanted file may have
    :raises UntrustedResultError: the file breaks a rule
    """
    file = _Unpacked(fd, limit)
    contents: dict[str, bytes | None] = {}
    names = Names()
    files: set[str] = set()
    links: dict[str, str] = {}
    try:
        for info in _members(file):
            name = info.name.removesuffix("/") if info.isdir() else info.name
            names.add(name, directory=info.isdir())
            if info.islnk() and info.linkname not in files:
                raise UntrustedResultError("a hard link in a tar file must name an earlier file", name)
            if info.issym():
                links[name] = info.linkname
            elif not info.isdir():
                files.add(name)
            contents[name] = file.content(info, largest) if info.type in _FILES and wanted(name) else None
    except _ERRORS as error:
        raise UntrustedResultError("Python's tarfile must be able to read a .tar.gz", error) from None
    file.check_end()
    for name, target in links.items():
        _check_symlink(name, target, links.keys())
    return contents


class _Unpacked:
    """The unpacked content of a gzip file of one member: a file that :mod:`tarfile` reads once from the beginning.

    :ivar header_bytes_left: how many bytes tarfile may read before the next member; it skips data, so it reads headers
    """

    def __init__(self, fd: int, limit: int) -> None:
        self.header_bytes_left = _MAX_HEADERS
        self._all_header_bytes_left = _MAX_ALL_HEADERS
        self._fd = fd
        self._place = self._packed_place = 0
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._ready = bytearray()
        self._budget = Budget(os.fstat(fd).st_size, limit)
        self._last = b""

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> None:
        """Go forwards to ``place``, or to the end of the file if that comes first."""
        if place < self._place:
            raise UntrustedResultError("the members of a tar file must follow each other")
        while self._place < place and self._take(min(_BLOCK, place - self._place)):
            pass

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes of headers, or fewer at the end."""
        self.header_bytes_left -= size
        if size < 0 or self.header_bytes_left < 0:
            raise UntrustedResultError(f"the headers of a tar member must not be larger than {_MAX_HEADERS} bytes")
        self._all_header_bytes_left -= size
        if self._all_header_bytes_left < 0:
            raise UntrustedResultError(f"all headers of a tar file must not be larger than {_MAX_ALL_HEADERS} bytes")
        self._last = self._take(size)
        if _LONG_NUMBER.search(self._last):
            raise UntrustedResultError("a tar header must not have a number of more than 127 digits")
        return self._last

    def announces(self, size: str) -> bool:
        """Return whether the header that tarfile just read has this size, itself and in plain digits."""
        field = self._last[_SIZE_FIELD].rstrip(b" \0")
        return field.isdigit() and f"{int(field, 8)}" == size

    def content(self, info: tarfile.TarInfo, largest: int) -> bytes:
        """Return the data of the member whose header tarfile just read. If any are missing, the next read fails."""
        if info.size > largest:
            raise UntrustedResultError(f"a member must not be larger than {largest} bytes", info.name)
        return self._take(info.size)

    def check_end(self) -> None:
        """Check that tarfile stopped at the end of the archive, and not at a header that it cannot read."""
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise UntrustedResultError("a tar file must have valid checksums and an end of zeros")
        while block := self._take(_BLOCK):
            if any(block):
                raise UntrustedResultError("a tar file must hold no data behind its end")

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
            raise UntrustedResultError("a gzip file must hold one member, with nothing behind it")
        return b""


def _members(file: _Unpacked) -> Iterator[tarfile.TarInfo]:
    place = 0
    options: Any = {"fileobj": file, "mode": "r:", "encoding": "utf-8", "errors": "strict"}
    with tarfile.open(**options) as archive:
        while (info := archive.next()) is not None:
            sized = info.pax_headers.get("size")
            if sized is not None and not file.announces(sized):
                raise UntrustedResultError("a size in an extended header must be that in the header", info.name)
            _check_member(info, archive.pax_headers.keys())
            # One header may hide another from us, which changes the size without moving the next member.
            if info.offset < place:
                raise UntrustedResultError("the members of a tar file must follow each other", info.name)
            place = info.offset_data + info.size
            yield info
            archive.members.clear()  # type: ignore[attr-defined]  # every member, with its headers
            file.header_bytes_left = _MAX_HEADERS
    if file.tell() < place + tarfile.BLOCKSIZE:
        raise UntrustedResultError("the members of a tar file must follow each other")


def _check_member(info: tarfile.TarInfo, global_keys: Set[str]) -> None:
    if info.pax_headers.keys() - _PAX_KEYS - {"size"} or global_keys - _PAX_GLOBAL_KEYS:
        raise UntrustedResultError(f"an extended header must hold only {', '.join(sorted(_PAX_KEYS))}", info.name)
    if info.type not in _KINDS or info.issparse():
        raise UntrustedResultError("a member of an sdist must be a regular file, a directory or a link", info.name)
    # A directory inherits the setgid bit from its parent (mkdir(2)).
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
        # Beneath a link, ".." leads to the parent of that link's target.
        through = where in links and number < len(parts)
        if f"{where}/".partition("/")[0] != top or not part or through or not is_visible(part):
            raise UntrustedResultError("the target of a link in an sdist must lie within it", f"{name} -> {target}")
