"""Documents that somebody else wrote: we bound their size, the wait for them and the work of reading them.

A document is read whole, so each limit is checked before the step that it bounds.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from types import ModuleType
from typing import Any, cast

__all__ = ["DocumentError", "loads_toml", "parse_toml", "read_document"]

# A frontend that another interpreter runs has no tomli there, and reads no document. We look for it once, and before
# any hook: a hook could put a module of this name where the frontend would find it.
_tomllib: ModuleType | None
try:
    if sys.version_info >= (3, 11):
        import tomllib as _tomllib
    else:
        import tomli as _tomllib
except ImportError:
    _tomllib = None

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_BLOCK = 1 << 16
# A shell's <(COMMAND) is a pipe whose writer needs a moment.
_SECONDS = 10.0
# tomllib takes a step for each part of a table's name and each key in the table, some microseconds together. For a key
# of n parts in a table of m, it takes n * (n + m) steps of 50 nanoseconds. Real files stay below a hundredth of both.
_MAX_TABLE_STEPS = 400_000
_MAX_KEY_STEPS = 40_000_000


class DocumentError(ValueError):
    """A document is too large, takes too long, or is not a document at all; the text says what was expected."""


def read_document(path: str, *, limit: int, only_name: bool = False) -> bytes:
    """Return the content of a file that the operator named: a regular file, a pipe or a device that ends by itself.

    :param limit: the most bytes that it may have
    :param only_name: refuse a regular file that has another name, link(2), by which somebody else may read it
    :raises DocumentError: it is larger, has another name, or no whole document comes from a pipe within ten seconds
    :raises OSError: it cannot be opened or read, or is a directory
    """
    fd = os.open(path, _FLAGS)
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_size > limit:
            raise DocumentError(f"too large (expected at most {limit} bytes, got {status.st_size})")
        if only_name and stat.S_ISREG(status.st_mode) and status.st_nlink != 1:
            raise DocumentError(f"it has other names, hard links (expected 1 name, got {status.st_nlink})")
        data = _read(fd, limit)
        if not data and stat.S_ISFIFO(status.st_mode):
            raise DocumentError("nothing came from the pipe (expected a document, got no byte)")
        return data
    finally:
        os.close(fd)


def _read(fd: int, limit: int) -> bytes:
    data = bytearray()
    end = time.monotonic() + _SECONDS
    while True:
        try:
            block = os.read(fd, _BLOCK)
        except BlockingIOError:
            if not select.select([fd], [], [], max(0.0, end - time.monotonic()))[0]:
                raise DocumentError(f"no end within {_SECONDS:g} seconds (expected a document)") from None
            continue
        if not block:
            return bytes(data)
        data += block
        if len(data) > limit:
            raise DocumentError(f"too large (expected at most {limit} bytes, got more)")


def parse_toml(data: bytes) -> dict[str, Any]:
    """Parse a TOML document, if its dotted keys and tables take a bounded number of steps.

    The caller bounds the document's size: everything else takes a number of steps in proportion to that.

    :raises ValueError: it is not UTF-8 or not TOML, nests too deeply, or takes too many steps
    """
    _check_steps(data)
    try:
        return loads_toml(data.decode())
    except RecursionError:
        raise DocumentError("nested too deeply for the TOML parser") from None


def loads_toml(text: str) -> dict[str, Any]:
    """Parse a TOML document of the operator's, without a bound.

    :raises ImportError: this interpreter is older than Python 3.11, and has no tomli
    :raises ValueError: it is not TOML
    """
    if _tomllib is None:
        raise ModuleNotFoundError("No module named 'tomli'", name="tomli")
    return cast("dict[str, Any]", _tomllib.loads(text))


def _check_steps(data: bytes) -> None:
    # A key and the name of a table end with their line, and each of their parts but the last with a dot. Quoted parts
    # may hold every other character, so only whole lines are counted.
    lines = data.split(b"\n")
    dots = [line.count(b".") for line in lines]
    deepest = max((n for n, line in zip(dots, lines, strict=True) if line.lstrip(b" \t")[:1] == b"["), default=0)
    if deepest * len(lines) > _MAX_TABLE_STEPS or sum(n * (n + deepest) for n in dots) > _MAX_KEY_STEPS:
        raise DocumentError("too many dots in its lines (expected short keys and names of tables)")
