"""Digests of files and of directory trees, by descriptor: we follow no link, and never wait."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator

__all__ = ["directory_digest", "file_digest"]

_BLOCK = 1 << 20
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}


def file_digest(path: str | bytes, *, directory: int | None = None) -> str | None:
    """Return the hexadecimal SHA-256 of a regular file; ``None`` if it is anything else, or a link.

    :param directory: the descriptor of the directory that a relative path begins at
    :raises OSError: it cannot be read
    """
    if not stat.S_ISREG(os.stat(path, dir_fd=directory, follow_symlinks=False).st_mode):
        return None
    with open(os.open(path, _FILE, dir_fd=directory), "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            digest.update(block)
        return digest.hexdigest()


def directory_digest(path: str, *, without: frozenset[bytes] = frozenset()) -> str:
    """Return in-toto's ``dirHash`` of a directory: the digest of what ``sha256sum`` prints for its regular files.

    They are sorted by their paths as bytes. Links, empty directories and modes do not count.

    :param without: names at the top that are left out
    :raises OSError: a file or a directory cannot be read; the path in it is relative
    """
    top = os.open(path, _DIRECTORY & ~os.O_NOFOLLOW)
    try:
        digests = dict(_digests(top, without))
    finally:
        os.close(top)
    lines = hashlib.sha256()
    for name, digest in sorted(digests.items()):
        escaped = b"".join(_ESCAPES.get(name[at : at + 1], name[at : at + 1]) for at in range(len(name)))
        # As sha256sum marks a line whose name has escapes.
        lines.update((b"\\" if escaped != name else b"") + digest.encode() + b"  " + escaped + b"\n")
    return lines.hexdigest()


def _digests(top: int, without: frozenset[bytes]) -> Iterator[tuple[bytes, str]]:
    todo = [b""]
    while todo:
        here = todo.pop()
        directory = _opened(top, here)
        try:
            for name in map(os.fsencode, os.listdir(directory)):
                path = os.path.join(here, name)
                if not here and name in without:
                    continue
                with _naming(path):
                    if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                        todo.append(path)
                    elif digest := file_digest(name, directory=directory):
                        yield path, digest
        finally:
            os.close(directory)


def _opened(top: int, path: bytes) -> int:
    with _naming(path or b"."):
        return os.open(path or b".", _DIRECTORY, dir_fd=top)


@contextlib.contextmanager
def _naming(path: bytes) -> Iterator[None]:
    """Have an error name a path from the top."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise
