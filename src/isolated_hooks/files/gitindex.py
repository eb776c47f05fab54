"""Which files the index of a repository of git names, gitformat-index(5)."""

from __future__ import annotations

import functools
import os
import stat

__all__ = ["tracked"]

# An entry of a repository with half a million files is about a hundred bytes long. A larger index names nothing to us.
_LARGEST = 64 << 20
_HEADER = 12
_FLAGS_AT, _PATH_AT = 60, 62  # of an entry; version 3 may have two bytes of flags more
_EXTENDED, _LENGTH = 0x4000, 0xFFF


def tracked(index: str, paths: tuple[str, ...]) -> frozenset[str]:
    """Return those of some paths that an index names, or beneath which it names something.

    :param index: the path of the index
    :param paths: paths from the top of the working tree, without ``.`` and ``..``
    :return: none of them if the index cannot be read or is too large
    """
    try:
        status = os.stat(index)
    except OSError:
        return frozenset()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
        return frozenset()
    return _tracked(index, paths, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


# A frontend asks before every hook, and git makes a new index whenever something changes.
@functools.lru_cache(maxsize=16)
def _tracked(index: str, paths: tuple[str, ...], *_state: int) -> frozenset[str]:
    try:
        with open(os.open(index, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = file.read(_LARGEST)
    except OSError:
        return frozenset()
    version = int.from_bytes(data[4:8], "big")
    if data[:4] != b"DIRC" or version not in (2, 3, 4):
        return frozenset()
    wanted = {path: os.fsencode(path) for path in paths}
    if version == 4:
        return frozenset(_named_compressed(data, wanted))
    return frozenset(path for path, name in wanted.items() if _names(data, name))


def _names(data: bytes, name: bytes) -> bool:
    """Return whether an index of version 2 or 3 has an entry for a path or for something beneath it."""
    for sought in (name + b"\0", name + b"/"):
        at = data.find(sought, _HEADER)
        while at >= 0:
            if _begins_at(data, at):
                return True
            at = data.find(sought, at + 1)
    return False


def _begins_at(data: bytes, at: int) -> bool:
    """Return whether the path of an entry begins here: its flags hold its length, up to their largest number."""
    length = data.find(b"\0", at) - at
    for begin in (at - _PATH_AT, at - _PATH_AT - 2):
        flags = int.from_bytes(data[begin + _FLAGS_AT : begin + _PATH_AT], "big")
        # Each entry takes a multiple of eight bytes.
        whole = begin >= _HEADER and (begin - _HEADER) % 8 == 0
        if whole and flags & _LENGTH == min(length, _LENGTH) and bool(flags & _EXTENDED) == (begin < at - _PATH_AT):
            return True
    return False


def _named_compressed(data: bytes, wanted: dict[str, bytes]) -> set[str]:
    """Return the paths that an index of version 4 names: each entry holds what differs from the path before it."""
    names: set[str] = set()
    at, path = _HEADER, b""
    for _ in range(int.from_bytes(data[8:12], "big")):
        flags = int.from_bytes(data[at + _FLAGS_AT : at + _PATH_AT], "big")
        at += _PATH_AT + (2 if flags & _EXTENDED else 0)
        removed, at = _offset(data, at)
        end = data.find(b"\0", at)
        if end < 0:
            break
        path = path[: len(path) - removed] + data[at:end]
        at = end + 1
        names |= {p for p, name in wanted.items() if path == name or path.startswith(name + b"/")}
    return names


def _offset(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, in the encoding that gitformat-pack(5) calls offset encoding, and where it ends."""
    value = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value += byte & 0x7F
        if not byte & 0x80:
            break
        value = (value + 1) << 7
    return value, at
