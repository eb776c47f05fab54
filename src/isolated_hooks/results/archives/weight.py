"""What a wheel costs its readers, checked for every wheel: it takes no deep check for a frontend to open one.

pip and fromager open a wheel with ``zipfile``, which reads its whole central directory and keeps an object for each
member, and then read METADATA as a whole. ``zipfile`` takes the square of the size of a member's extra fields. Whether
the wheel is sound is the question of :mod:`.wheels`: what ``zipfile`` cannot read, costs nothing.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator

from ...errors import UntrustedResultError
from ..metadata import DOCUMENTS, MAX_DOCUMENT, vet_metadata

__all__ = ["check_weight"]

MAX_DIRECTORY = 32 << 20
MAX_ENTRIES = 200_000
MAX_EXTRA = 1024
# A wheel has one. Readers refuse others, and what they do with each is bounded.
MAX_METADATA = 4

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_SIZE = 20
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_UNICODE_PATH = 0x7075
_MARK = b".dist-info/"
_DOCUMENT = re.compile(
    rb"[^/]*\.dist-info/(%s)" % b"|".join(re.escape(n.encode()) for n in sorted(DOCUMENTS)), re.DOTALL
)


def check_weight(fd: int, name: str) -> None:
    """Check that a wheel takes its readers a bounded time and memory.

    :param fd: a descriptor open for reading, of a regular file that no process changes
    :param name: its file name
    :raises UntrustedResultError: it would take more
    """
    weight = 0
    for entry in _entries(fd):
        if entry.document is None:
            continue
        if entry.size > MAX_DOCUMENT:
            rule = f"a file that readers of a wheel read as a whole must not be larger than {MAX_DOCUMENT} bytes"
            raise UntrustedResultError(rule, entry.document)
        if entry.document.endswith("/METADATA"):
            weight += 1
            if weight > MAX_METADATA:
                raise UntrustedResultError(f"a wheel must not have more than {MAX_METADATA} files METADATA", name)
            vet_metadata(_content(fd, entry), entry.document)


class _Entry:
    """A member as the central directory describes it; ``document`` is its path if readers read it as a whole."""

    def __init__(self, fields: tuple[int, ...], raw: bytes, extra: bytes, shift: int) -> None:
        self.method, self.packed, self.size = fields[4], fields[8], fields[9]
        self.offset = fields[16] + shift
        self.document: str | None = None
        # zipfile ends a name at a zero byte, and newer versions prefer the name in an extra field.
        for path in (raw, *_unicode_paths(extra)):
            if match := _DOCUMENT.fullmatch(path.partition(b"\0")[0]):
                self.document = match.group().decode("utf-8", "replace")


def _entries(fd: int) -> Iterator[_Entry]:
    """Yield those members that may be documents, as zipfile finds them, up to the first that it cannot read."""
    size = os.fstat(fd).st_size
    begin, length, shift = _directory(fd, size)
    if length > MAX_DIRECTORY:
        raise UntrustedResultError(f"a wheel's directory must not be larger than {MAX_DIRECTORY} bytes", length)
    data = os.pread(fd, length, begin) if begin >= 0 else b""
    place = count = 0
    while len(data) - place >= _CENTRAL.size:
        fields = _CENTRAL.unpack_from(data, place)
        name_length, extra_length, comment_length = fields[10:13]
        if fields[0] != b"PK\1\2":
            return
        count += 1
        if count > MAX_ENTRIES:
            raise UntrustedResultError(f"a wheel must not have more than {MAX_ENTRIES} members")
        if extra_length > MAX_EXTRA:
            raise UntrustedResultError(f"a member of a wheel must not have extra fields of more than {MAX_EXTRA} bytes")
        begin_extra = place + _CENTRAL.size + name_length
        raw, extra = data[place + _CENTRAL.size : begin_extra], data[begin_extra : begin_extra + extra_length]
        place = begin_extra + extra_length + comment_length
        if _MARK in raw or _MARK in extra:  # the few of thousands that are worth an object
            yield _Entry(fields, raw, extra, shift)


def _directory(fd: int, size: int) -> tuple[int, int, int]:
    """Return where the central directory begins, its length, and how far the offsets of its members are to be moved."""
    tail_begin = max(0, size - _END.size - 0xFFFF)
    tail = os.pread(fd, size - tail_begin, tail_begin)
    place = len(tail) - _END.size
    if tail[-_END.size :][:4] != b"PK\5\6" or tail[-2:] != b"\0\0":
        place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) - place < _END.size:
        return -1, 0, 0
    *_, length, offset, _ = _END.unpack_from(tail, place)
    end = tail_begin + place
    record = end - _LOCATOR_SIZE - _END64.size
    if record >= 0 and os.pread(fd, 4, end - _LOCATOR_SIZE) == b"PK\6\7":
        fields = _END64.unpack(os.pread(fd, _END64.size, record))
        if fields[0] == b"PK\6\6":
            length, offset, end = fields[8], fields[9], record
    return end - length, length, end - length - offset


def _unicode_paths(extra: bytes) -> Iterator[bytes]:
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == _UNICODE_PATH:
            yield extra[place + 9 : place + 4 + length]  # after a version and the CRC of the other name
        place += 4 + length


def _content(fd: int, entry: _Entry) -> bytes:
    """Return at most the announced bytes of a member, as zipfile reads them."""
    try:
        header = _LOCAL.unpack(os.pread(fd, _LOCAL.size, entry.offset))
        packed = os.pread(fd, min(entry.packed, 2 * MAX_DOCUMENT), entry.offset + _LOCAL.size + sum(header[-2:]))
        if entry.method == 0:
            return packed[: entry.size]
        if entry.method == 8:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.size) if entry.size else b""
    except (OSError, OverflowError, struct.error, zlib.error):
        pass
    raise UntrustedResultError("a wheel's METADATA must be readable, and stored or deflated", entry.document or "")
