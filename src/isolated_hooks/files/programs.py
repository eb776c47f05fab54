"""What programs say of themselves that they need elsewhere: the interpreter of a script, the libraries of a binary.

A script begins with the path of its interpreter, execve(2). A binary may hold directories in which the dynamic loader
looks for libraries, ld.so(8): ``DT_RPATH`` and ``DT_RUNPATH``, elf(5).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import mmap
import os
import re
import stat
import struct
from collections.abc import Iterator

__all__ = ["needs_of_programs"]

_SCRIPT = re.compile(rb"#![ \t]*(/[^\s\x00]{1,4095})")
_ENV = b"/env"
_SHELL = re.compile(rb"#![ \t]*/[^\s\x00]*/(?:env[ \t]+)?(?:ba|da|k|z)?sh\b")
_ABSOLUTE = re.compile(rb"(?<![\w$}~./@+-])/[\w./@+-]{1,1024}")
_MOST_PATHS = 16
_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 5, 15, 29
_MOST_HEADERS, _MOST_TAGS, _LONGEST = 64, 512, 65536


def needs_of_programs(directory: str, limit: int) -> tuple[str, ...]:
    """Return the absolute paths that the programs in a directory name: interpreters, and directories of libraries.

    :param limit: the number of entries to look at
    """
    try:
        status = os.stat(directory)
    except OSError:
        return ()
    return _needs(directory, limit, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


@functools.lru_cache(maxsize=64)
def _needs(directory: str, limit: int, *_state: int) -> tuple[str, ...]:
    needs: dict[str, None] = {}
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in itertools.islice(entries, limit):
            with contextlib.suppress(OSError, ValueError, struct.error):
                needs.update(dict.fromkeys(os.fsdecode(path) for path in _needs_of(entry.path)))
    return tuple(path for path in needs if path.startswith("/"))


def _needs_of(path: str) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111 or status.st_size < len(_MAGIC):
            return
        first = os.read(fd, 4200)
        script = _SCRIPT.match(first)
        if script is not None:
            if not script[1].endswith(_ENV):
                yield script[1]
            if _SHELL.match(first):
                yield from filter(_is_program, _started_by(first))
        elif first.startswith(_MAGIC):
            with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as data:
                yield from _search_path(data)
    finally:
        os.close(fd)


def _started_by(script: bytes) -> Iterator[bytes]:
    """Yield the absolute paths in the first lines of a shell script, each once."""
    paths = (match[0] for match in _ABSOLUTE.finditer(script, script.index(b"\n") if b"\n" in script else len(script)))
    return itertools.islice(dict.fromkeys(paths), _MOST_PATHS)


def _is_program(path: bytes) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def _search_path(data: mmap.mmap) -> Iterator[bytes]:
    offset, size, count = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQ", data, offset + i * size) for i in range(min(count, _MOST_HEADERS))]
    tags: dict[int, int] = {}
    for kind, _, start, _, _, length in headers:
        if kind == _PT_DYNAMIC:
            for at in range(start, start + min(length, 16 * _MOST_TAGS), 16):
                tag, value = struct.unpack_from("<QQ", data, at)
                tags.setdefault(tag, value)
    for tag in (_DT_RPATH, _DT_RUNPATH):
        if tag in tags and _DT_STRTAB in tags:
            table = next(
                (start + tags[_DT_STRTAB] - address for kind, _, start, address, _, length in headers
                 if kind == _PT_LOAD and address <= tags[_DT_STRTAB] < address + length),
                None,
            )  # fmt: skip
            if table is not None:
                begin = table + tags[tag]
                yield from data[begin : begin + _LONGEST].partition(b"\0")[0].split(b":")
