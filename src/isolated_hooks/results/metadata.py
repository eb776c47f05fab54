"""Core metadata of anybody's: bounds on what the parsers of frontends do with them.

``email`` keeps each line as an object, and builds a tree from a document that claims to be multipart. ``packaging``
searches all fields for each name of a field, which takes the square of their number, and reads the parentheses of a
marker recursively. So a bound on the size alone does not bound the work.
"""

from __future__ import annotations

import re
from collections import Counter
from email.parser import BytesHeaderParser

from ..errors import UntrustedResultError

__all__ = ["DOCUMENTS", "MAX_DOCUMENT", "vet_metadata"]

MAX_DOCUMENT = 16 << 20
"""The most bytes of a file in an archive or a metadata directory that readers read as a whole, such as METADATA."""

#: The files of a metadata directory that readers read as a whole.
DOCUMENTS = frozenset(
    "METADATA RECORD WHEEL entry_points.txt top_level.txt direct_url.json INSTALLER REQUESTED".split()
)

# A description may be a field of many lines. The longest list of requirements on the index has some thousands.
MAX_LINES = 200_000
MAX_FIELDS = 20_000
MAX_NAMES = 100
MAX_REQUIREMENTS = 2 << 20
MAX_PARENTHESES = 64

# email ends a line at each of these, and the header at an empty line.
_END_OF_HEADER = re.compile(rb"(?:\r\n|\r(?!\n)|\n){2}")
_REQUIREMENTS = (b"requires-dist", b"requires")


def vet_metadata(document: bytes, where: str) -> None:
    """Check that core metadata take every parser a bounded time and memory. Whether they are valid is not our question.

    :param document: METADATA or PKG-INFO
    :param where: its path, for the error
    :raises UntrustedResultError: they have too many lines, fields or names, too long requirements, or claim to be of
        several parts
    """
    if len(document) > MAX_DOCUMENT:
        raise UntrustedResultError(f"{where} must not be larger than {MAX_DOCUMENT} bytes", len(document))
    header = _END_OF_HEADER.split(document, maxsplit=1)[0]
    lines = header.count(b"\n") + header.count(b"\r")
    if lines > MAX_LINES:
        raise UntrustedResultError(f"{where} must not have a header of more than {MAX_LINES} lines", lines)
    fields, sizes = _fields(header, where)
    if fields.total() > MAX_FIELDS:
        raise UntrustedResultError(f"{where} must not have more than {MAX_FIELDS} fields", fields.total())
    if len(fields) > MAX_NAMES:
        raise UntrustedResultError(f"{where} must not have fields of more than {MAX_NAMES} names", len(fields))
    if sizes > MAX_REQUIREMENTS:
        raise UntrustedResultError(f"{where} must not have requirements of more than {MAX_REQUIREMENTS} bytes", sizes)
    if b"content-type" in fields and _has_parts(header):
        raise UntrustedResultError(f"{where} must not have parts (Content-Type)")


def _fields(header: bytes, where: str) -> tuple[Counter[bytes], int]:
    """Return how often each field is there, and the size of all requirements together."""
    fields: Counter[bytes] = Counter()
    name, size, parentheses = b"", 0, 0
    for line in header.splitlines():
        if line[:1] not in (b" ", b"\t"):
            name, parentheses = line.partition(b":")[0].strip().lower(), 0
            fields[name] += 1
        if name in _REQUIREMENTS:
            size += len(line)
            parentheses += line.count(b"(")
            if parentheses > MAX_PARENTHESES:
                rule = f"a requirement in {where} must not hold more than {MAX_PARENTHESES} parentheses"
                raise UntrustedResultError(rule, line[:200])
    return fields, size


def _has_parts(header: bytes) -> bool:
    return BytesHeaderParser().parsebytes(header).get_content_maintype() in ("multipart", "message")
