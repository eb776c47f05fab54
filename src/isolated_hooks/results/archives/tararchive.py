"""A gzipped tar file read as strictly as it can be written, in one pass and in pieces.

POSIX pax, ustar and GNU extensions overlap, and where a header says one size and its extension another, one reader's
data are another's members (CVE-2025-62518). Here only what all of them read alike is accepted.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping

from ...errors import UntrustedResultError
from ...text import is_visible
from .rules import Budget, Names

__all__ = ["TarMember", "read_tar"]

_RECORD = 512
_BLOCK = 1 << 18
_MAX_EXTENSION = 1 << 20
_FILE, _HARD_LINK, _SYMLINK, _DIRECTORY = b"0", b"1", b"2", b"5"
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK = b"x", b"g", b"L", b"K"
_POSIX_MAGIC, _GNU_MAGIC, _OLD_MAGIC = b"ustar\x0000", b"ustar  \0", bytes(8)
_PAX_KEYS = frozenset("path linkpath size mtime atime ctime uid gid uname gname comment".split())
_PAX_GLOBAL_KEYS = frozenset(("comment", "mtime"))
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,7}) ([^=\n]{1,100})=", re.DOTALL)
_SETUID, _SETGID, _STICKY = 0o4000, 0o2000, 0o1000

Wanted = Callable[[str], bool]


@dataclasses.dataclass(frozen=True)
class TarMember:
    """One member.

    :ivar name: its path, without the slash of a directory
    :ivar kind: ``"file"``, ``"directory"``, ``"link"`` (symbolic) or ``"hard link"``
    :ivar target: of a link, as it is written
    :ivar content: of a file that was asked for
    """

    name: str
    kind: str
    size: int
    target: str = ""
    content: bytes | None = None


def read_tar(fd: int, *, limit: int, wanted: Wanted, largest: int) -> list[TarMember]:
    """Return the members of a ``.tar.gz``.

    :param fd: open for reading, of a regular file
    :param limit: the most bytes that it may unpack to
    :param wanted: says of a file's name whether its content is to be returned
    :param largest: the most bytes of such a file
    :raises UntrustedResultError: which rule it breaks
    """
    reader = _Reader(fd, limit)
    names = Names()
    members: list[TarMember] = []
    for member in _members(reader, wanted, largest):
        names.add(member.name, directory=member.kind == "directory")
        members.append(member)
    _check_links(members)
    _compare(fd, members)
    return members


class _Reader:
    """What a gzip file of one member unpacks to, read once from the beginning."""

    def __init__(self, fd: int, limit: int) -> None:
        self._fd = fd
        self._place = 0
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._packed = b""
        self._ready = bytearray()
        self._budget = Budget(os.fstat(fd).st_size, limit)

    def read(self, size: int) -> bytes:
        """Return so many bytes, or fewer at the end."""
        while len(self._ready) < size and (block := self._next()):
            self._ready += block
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def exactly(self, size: int) -> bytes:
        data = self.read(size)
        if len(data) < size:
            raise UntrustedResultError("an archive must not end before what it announces")
        return data

    def skip(self, size: int) -> None:
        while size:
            size -= len(self.exactly(min(size, _BLOCK)))

    def _next(self) -> bytes:
        while not self._inflate.eof:
            if not self._packed:
                self._packed = os.pread(self._fd, _BLOCK, self._place)
                self._place += len(self._packed)
            if not self._packed:
                raise UntrustedResultError("a gzip file must not end before its data does")
            try:
                block = self._inflate.decompress(self._packed, _BLOCK)
            except zlib.error:
                raise UntrustedResultError("a .tar.gz must be valid gzip") from None
            self._packed = self._inflate.unconsumed_tail
            if block:
                self._budget.spend(len(block))
                return block
        if self._inflate.unused_data or os.pread(self._fd, 1, self._place):
            raise UntrustedResultError("a gzip file must be one member with nothing behind it")
        return b""


class _Extension:
    """What the extended headers before a member say of it, under the names that pax has for that."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.kinds: set[bytes] = set()

    def add(self, kind: bytes, data: bytes) -> None:
        """Take one more of them: one of pax, or those of GNU for the name and for the target of a link."""
        if kind in self.kinds or _PAX in self.kinds or (self.kinds and kind in (_PAX, _PAX_GLOBAL)):
            raise UntrustedResultError("a tar member must not be described twice", ", ".join(sorted(self.values)))
        if kind == _PAX_GLOBAL:
            for _ in _pax_records(data, _PAX_GLOBAL_KEYS):
                pass  # of no consequence, but well-formed
            return
        self.kinds.add(kind)
        if kind == _PAX:
            self.values.update(_pax_records(data, _PAX_KEYS))
        else:
            self.values["path" if kind == _GNU_NAME else "linkpath"] = _decoded(data.removesuffix(b"\0"))


def _members(reader: _Reader, wanted: Wanted, largest: int) -> Iterator[TarMember]:
    extension = _Extension()
    while any(header := reader.exactly(_RECORD)):
        _check_header(header)
        kind, size = header[156:157], _number(header[124:136], "size")
        if kind in (_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK):
            extension.add(kind, _padded(reader, size))
            continue
        member = _member(header, kind, size, extension.values)
        extension = _Extension()
        if member.kind == "file" and wanted(member.name):
            if size > largest:
                raise UntrustedResultError(f"this member must not be larger than {largest} bytes", member.name)
            member = dataclasses.replace(member, content=reader.exactly(size))
            reader.skip(-size % _RECORD)
        else:
            reader.skip(size + -size % _RECORD)
        yield member
    if extension.kinds:
        raise UntrustedResultError("an extended header in a tar file must be followed by its member")
    while block := reader.read(_BLOCK):
        if any(block):
            raise UntrustedResultError("a tar file must hold nothing behind its end")


def _check_header(header: bytes) -> None:
    expected = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
    if _number(header[148:156], "checksum") != expected:
        raise UntrustedResultError("a tar file must have valid checksums")
    magic = header[257:265]
    if magic not in (_POSIX_MAGIC, _GNU_MAGIC, _OLD_MAGIC):
        raise UntrustedResultError("a tar file must be in ustar, pax or GNU format", repr(magic))
    # Only in ustar and pax is this the beginning of the name; some readers take it for that in any format.
    if magic != _POSIX_MAGIC and any(header[345:500]):
        raise UntrustedResultError("a tar header must hold nothing where another format has part of the name")


def _member(header: bytes, kind: bytes, size: int, extension: Mapping[str, str]) -> TarMember:
    prefix = _field(header[345:500])
    short = _field(header[:100])
    name = extension.get("path", f"{prefix}/{short}" if prefix else short)
    target = extension.get("linkpath", _field(header[157:257]))
    if "size" in extension and extension["size"] != str(size):
        raise UntrustedResultError("a tar member must have one size", name)
    mode = _number(header[100:108], "mode")
    if kind == _DIRECTORY:
        # Directories get the setgid bit from the directory that they are made in.
        forbidden, found = _SETUID | _STICKY, TarMember(name.removesuffix("/"), "directory", 0)
    elif kind in (_FILE, b"\0"):
        forbidden, found = _SETUID | _SETGID | _STICKY, TarMember(name, "file", size)
    elif kind in (_SYMLINK, _HARD_LINK):
        forbidden, found = 0, TarMember(name, "link" if kind == _SYMLINK else "hard link", 0, target)
    else:
        raise UntrustedResultError("a member of an sdist must be a regular file, a directory or a link", name)
    if mode & forbidden:
        raise UntrustedResultError("a member must not have setuid, setgid or sticky bits", name)
    if found.kind != "file" and size:
        raise UntrustedResultError("a directory or link in a tar file must not have data", name)
    return found


def _padded(reader: _Reader, size: int) -> bytes:
    if size > _MAX_EXTENSION:
        raise UntrustedResultError(f"an extended header must not be larger than {_MAX_EXTENSION} bytes")
    data = reader.exactly(size)
    if any(reader.exactly(-size % _RECORD)):
        raise UntrustedResultError("an extended header must be padded with nothing")
    return data


def _pax_records(data: bytes, allowed: frozenset[str]) -> Iterator[tuple[str, str]]:
    place, seen = 0, set()
    while place < len(data):
        match = _PAX_RECORD.match(data, place)
        end = place + int(match.group(1)) if match else 0
        if match is None or end > len(data) or end <= match.end() or data[end - 1 : end] != b"\n":
            raise UntrustedResultError("an extended header must be made of well-formed records")
        key = _decoded(match.group(2))
        if key not in allowed or key in seen:
            raise UntrustedResultError(
                f"an extended header must hold, each once, only {', '.join(sorted(allowed))}", key
            )
        seen.add(key)
        yield key, _decoded(data[match.end() : end - 1])
        place = end


def _number(field: bytes, what: str) -> int:
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        # Numbers of base 256 are for what does not fit, which is larger than any limit here.
        raise UntrustedResultError(f"a tar header must have an octal {what}", repr(field))
    return int(digits, 8)


def _field(data: bytes) -> str:
    return _decoded(data.partition(b"\0")[0])


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UntrustedResultError("a tar header must be UTF-8", repr(data[:100])) from None


def _check_links(members: list[TarMember]) -> None:
    """Check that no link leads out, and that nothing is unpacked through one."""
    links = {member.name for member in members if member.kind == "link"}
    files: set[str] = set()
    for member in members:
        top, *parts = member.name.split("/")
        if any("/".join((top, *parts[:count])) in links for count in range(len(parts))):
            raise UntrustedResultError("a member of a tar file must not lie behind a link", member.name)
        if member.kind == "hard link" and member.target not in files:
            raise UntrustedResultError("a hard link in a tar file must name a file before it", member.name)
        if member.kind == "link":
            _check_symlink(member, links)
        if member.kind in ("file", "hard link"):
            files.add(member.name)


def _check_symlink(member: TarMember, links: set[str]) -> None:
    top, *_ = where = member.name.split("/")
    where = where[:-1]
    parts = member.target.split("/")
    for number, part in enumerate(parts, 1):
        where = where[:-1] if part == ".." else where if part == "." else [*where, part]
        # Within what is a link itself, ".." leads to where that link leads.
        through = "/".join(where) in links and number < len(parts)
        if where[:1] != [top] or not part or through or not is_visible(part):
            text = f"{member.name} -> {member.target}"
            raise UntrustedResultError("a link in an sdist must lead to something within it", text)


_KINDS = {tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link"}


def _compare(fd: int, members: list[TarMember]) -> None:
    """Check that the standard library sees the same members."""
    own = [(m.name, m.kind, m.size, m.target) for m in members]
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:gz", encoding="utf-8", errors="strict") as archive:
                seen = [
                    (i.name, _KINDS.get(i.type, "hard link"), i.size if i.isreg() else 0, i.linkname) for i in archive
                ]
        except (tarfile.TarError, EOFError, ValueError, OSError, zlib.error) as error:
            raise UntrustedResultError("a .tar.gz must be one to Python too", error) from None
    if seen != own:
        raise UntrustedResultError("a tar file must have the same members to every reader")
