"""A strict reader of ZIP files: it accepts only a file that all readers read alike, and accounts for every byte.

APPNOTE 6.3 lets a file begin with any data, have members that overlap or that the central directory does not name, and
describe a member in two different ways. Readers then disagree on the file's content. We require that the members follow
each other from the first byte, that the central directory describes each just as its own header does, and that the end
record ends the file.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from ...errors import UntrustedResultError
from ...frozen import dataclass
from .rules import MAX_DOCUMENT, MAX_MEMBERS, Budget, Names, read_exactly

__all__ = ["ZipArchive", "ZipMember"]

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_DIRECTORY = 64 << 20
_MAX_EXTRA = 1024
_BLOCK = 1 << 18

_DESCRIPTOR_FOLLOWS, _UTF8 = 1 << 3, 1 << 11
# The other two bits are the compression level of deflate. All other flags encrypt, patch, or mask the header.
_FLAGS = _DESCRIPTOR_FOLLOWS | _UTF8 | 0b110
_STORED, _DEFLATED = 0, 8
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_FULL = 0xFFFFFFFF
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(frozen=True)
class ZipMember:
    """One member, as the central directory describes it.

    :ivar name: its path, without the slash of a directory
    :ivar directory: whether it is a directory
    :ivar size: its unpacked size in bytes
    :ivar raw: the bytes of its path in the file
    :ivar flags: its general purpose flags
    :ivar method: its compression method
    :ivar crc: the CRC-32 of its unpacked data
    :ivar packed: its packed size in bytes
    :ivar offset: the offset of its own header in the file, in bytes
    """

    name: str
    directory: bool
    size: int
    raw: bytes
    flags: int
    method: int
    crc: int
    packed: int
    offset: int


class ZipArchive:
    """A ZIP file with a sound structure.

    :ivar members: its members, in the order of the central directory
    :param fd: a descriptor open for reading, of a regular file
    :param limit: the most bytes that all members may unpack to
    :raises UntrustedResultError: the file breaks a rule
    """

    def __init__(self, fd: int, *, limit: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size
        begin, count, directory = self._central_directory()
        self.members = tuple(_central_members(directory, count))
        names, budget = Names(), Budget(self._size, limit)
        for member in self.members:
            names.add(member.name, directory=member.directory)
            budget.spend(member.size)
        self._data = self._data_offsets(begin)
        self._compare()

    def read(self, member: ZipMember, *, limit: int = MAX_DOCUMENT) -> bytes:
        """Return the data of a member.

        :raises UntrustedResultError: it is longer than ``limit``, or damaged
        """
        if member.size > limit:
            raise UntrustedResultError(f"a member must not be larger than {limit} bytes", member.name)
        return b"".join(self.blocks(member))

    def blocks(self, member: ZipMember) -> Iterator[bytes]:
        """Yield the data of a member, piece by piece.

        :raises UntrustedResultError: the data do not have exactly the size and checksum that the member announces
        """
        size = crc = 0
        for block in self._unpacked(member):
            size += len(block)
            if size > member.size:
                break
            crc = zlib.crc32(block, crc)
            yield block
        if (size, crc) != (member.size, member.crc):
            raise UntrustedResultError("a member must unpack to the size and checksum that it announces", member.name)

    def _unpacked(self, member: ZipMember) -> Iterator[bytes]:
        place, left = self._data[member.name], member.packed
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        while left:
            packed = read_exactly(self._fd, min(left, _BLOCK), place)
            place, left = place + len(packed), left - len(packed)
            if member.method == _STORED:
                yield packed
                continue
            yield from _inflated(inflate, packed, member.name)
        if member.method == _DEFLATED and (not inflate.eof or inflate.unused_data):
            raise UntrustedResultError("a member's data must end at the announced size", member.name)

    def _central_directory(self) -> tuple[int, int, bytes]:
        if self._size < _END.size:
            raise UntrustedResultError("a ZIP file must end with an end record", f"{self._size} bytes")
        place = self._size - _END.size
        signature, disk, first, here, count, size, begin, comment = _END.unpack(
            read_exactly(self._fd, _END.size, place)
        )
        if signature != b"PK\5\6" or comment:
            raise UntrustedResultError("a ZIP file must end with its only end record, without a comment")
        if disk or first or here != count or count >= MAX_MEMBERS or _FULL in (size, begin):
            raise UntrustedResultError(
                "a ZIP file has to be a single volume, and small enough to need no ZIP64 end record"
            )
        if begin + size != place:
            raise UntrustedResultError("a ZIP file's central directory must lie right before its end record")
        if size > _MAX_DIRECTORY:
            raise UntrustedResultError(f"a ZIP file's central directory must not be larger than {_MAX_DIRECTORY} bytes")
        return begin, count, read_exactly(self._fd, size, begin)

    def _data_offsets(self, begin: int) -> dict[str, int]:
        """Return where each member's data begins, with every byte before the central directory accounted for."""
        ordered = sorted(self.members, key=lambda member: member.offset)
        starts = [*(member.offset for member in ordered), begin]
        if starts[0] != 0:
            raise UntrustedResultError("a ZIP file must begin with its first member")
        return {m.name: self._data_offset(m, end) for m, end in zip(ordered, starts[1:], strict=True)}

    def _data_offset(self, member: ZipMember, end: int) -> int:
        place = member.offset + _LOCAL.size
        header = _LOCAL.unpack(read_exactly(self._fd, _LOCAL.size, member.offset))
        signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = header
        extra = read_exactly(self._fd, name_length + extra_length, place)
        name, extra = extra[:name_length], extra[name_length:]
        place += len(name) + len(extra)
        same = (signature, flags, method, name) == (b"PK\3\4", member.flags, member.method, member.raw)
        header_numbers = (crc, *_sizes(extra, size, packed, member.name))
        directory_numbers = (member.crc, member.size, member.packed)
        # If a descriptor follows the data, the header's own three numbers may be zero.
        same_numbers = header_numbers == directory_numbers or (
            flags & _DESCRIPTOR_FOLLOWS
            and crc in (0, member.crc)
            and header_numbers[1:] in ((0, 0), directory_numbers[1:])
        )
        if not same or not same_numbers:
            raise UntrustedResultError("a member's own header must agree with the central directory", member.name)
        trailing = end - place - member.packed
        descriptor = read_exactly(self._fd, trailing, end - trailing) if 0 < trailing <= 24 else b""
        if trailing and descriptor not in _descriptors(member):
            raise UntrustedResultError("the members of a ZIP file must follow each other without a gap", member.name)
        return place

    def _compare(self) -> None:
        """Check that the standard library sees the same members."""
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            try:
                with zipfile.ZipFile(file) as archive:
                    seen = [(i.filename, i.file_size, i.compress_size, i.header_offset) for i in archive.infolist()]
            except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
                raise UntrustedResultError("Python's zipfile must be able to read a ZIP file", error) from None
        own = [(m.name + "/" * m.directory, m.size, m.packed, m.offset) for m in self.members]
        if seen != own:
            raise UntrustedResultError("Python's zipfile and our reader must see the same members in a ZIP file")


def _inflated(inflate: zlib._Decompress, packed: bytes, name: str) -> Iterator[bytes]:
    # Where zlib has taken all input, output may still be left in it, which no attribute of the object tells.
    block = packed
    while (packed or block) and not inflate.eof:
        try:
            block = inflate.decompress(packed, _BLOCK)
        except zlib.error:
            raise UntrustedResultError("a member's data must be valid deflate", name) from None
        packed = inflate.unconsumed_tail
        if block:
            yield block
    if packed:
        raise UntrustedResultError("a member's data must end at the announced size", name)


def _central_members(data: bytes, count: int) -> Iterator[ZipMember]:
    place = 0
    for _ in range(count):
        if len(data) - place < _CENTRAL.size:
            raise UntrustedResultError("a ZIP file's central directory must hold as many members as it announces")
        entry = _CENTRAL.unpack_from(data, place)
        lengths = entry[10:13]
        begin = place + _CENTRAL.size
        place = begin + sum(lengths)
        if place > len(data):
            raise UntrustedResultError("a ZIP file's central directory must hold as many members as it announces")
        raw = data[begin : begin + lengths[0]]
        yield _central_member(entry, raw, data[begin + lengths[0] : begin + lengths[0] + lengths[1]])
    if place != len(data):
        raise UntrustedResultError("a ZIP file's central directory must hold only its members")


def _central_member(entry: tuple[Any, ...], raw: bytes, extra: bytes) -> ZipMember:
    signature, _, _, flags, method, _, _, crc, packed, size = entry[:10]
    disk, _, attributes, offset = entry[13:]
    name = _decoded(raw, flags)
    if signature != b"PK\1\2" or disk or offset == _FULL:
        raise UntrustedResultError("a ZIP file's central directory must hold plain entries", name)
    if flags & ~_FLAGS or method not in (_STORED, _DEFLATED):
        raise UntrustedResultError("a member must be stored or deflated, and not encrypted", name)
    size, packed = _sizes(extra, size, packed, name)
    if method == _STORED and (size != packed or (size and flags & _DESCRIPTOR_FOLLOWS)):
        raise UntrustedResultError("a stored member must announce its size before its data", name)
    directory = name.endswith("/")
    _check_mode(attributes >> 16, name, directory=directory)
    if directory and size:
        raise UntrustedResultError("a directory in a ZIP file must not have data", name)
    return ZipMember(name[:-1] if directory else name, directory, size, raw, flags, method, crc, packed, offset)


def _decoded(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        # Without the flag, readers disagree on the encoding.
        raise UntrustedResultError(
            "a member's name must be ASCII, or be valid UTF-8 and marked as UTF-8", raw
        ) from None


def _check_mode(mode: int, name: str, *, directory: bool) -> None:
    kind = stat.S_IFMT(mode)
    if kind not in (0, stat.S_IFDIR if directory else stat.S_IFREG):
        raise UntrustedResultError("a member of a ZIP file must be a regular file or a directory", name)
    if mode & _SPECIAL_BITS:
        raise UntrustedResultError("a member must not have setuid, setgid or sticky bits", name)


def _sizes(extra: bytes, size: int, packed: int, name: str) -> tuple[int, int]:
    """Return both sizes, from the ZIP64 field if they do not fit into the header."""
    # zipfile takes the square of this size.
    if len(extra) > _MAX_EXTRA:
        raise UntrustedResultError(f"a member's extra fields must not be larger than {_MAX_EXTRA} bytes", name)
    fields: dict[int, bytes] = {}
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind in fields or len(extra) < 4 + length or kind == _UNICODE_PATH:
            raise UntrustedResultError("a member's extra fields must be well-formed and hold no second name", name)
        fields[kind], extra = extra[4 : 4 + length], extra[4 + length :]
    if extra.strip(b"\0"):
        raise UntrustedResultError("a member's extra fields must be well-formed and hold no second name", name)
    large = fields.get(_ZIP64, b"")
    numbers = [number for (number,) in struct.iter_unpack("<Q", large[: len(large) // 8 * 8])]
    sizes = []
    for value in (size, packed):
        sizes.append(numbers.pop(0) if value == _FULL and numbers else value)
    return sizes[0], sizes[1]


def _descriptors(member: ZipMember) -> list[bytes]:
    """Return every form that the descriptor after a member's data may have."""
    if not member.flags & _DESCRIPTOR_FOLLOWS:
        return []
    numbers = (member.crc, member.packed, member.size)
    plain = [struct.pack("<LQQ", *numbers)]
    if max(numbers) <= _FULL:
        plain.append(struct.pack("<LLL", *numbers))
    return [*plain, *(b"PK\7\x08" + form for form in plain)]
