"""Reads a file that a frontend needs from a tree, as data: no link out of the tree, no FIFO, no more than a limit."""

from __future__ import annotations

import os
import stat

from ..errors import UntrustedResultError
from ..text import visible
from .steered import Trees

__all__ = ["read_file"]

# O_NONBLOCK: otherwise open(2) of a FIFO waits for a writer. O_NOCTTY: no terminal may become our controlling terminal.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_file(path: str, trees: Trees, *, limit: int) -> bytes:
    """Return the content of a regular file. No hook may run meanwhile.

    :param path: an absolute path
    :param trees: the trees that hooks may write to. If the path leads through one, the file has to lie in one too.
    :param limit: the most bytes that the file may have
    :raises UntrustedResultError: it is no regular file, lies elsewhere, or is larger
    :raises OSError: it cannot be read; if it does not exist, FileNotFoundError
    """
    name = visible(path, limit=300)
    real = os.path.realpath(path)
    if trees.steer(path) and not trees.hold(real):
        raise UntrustedResultError("a link in a source tree must not lead out of it to a file that we read", name)
    fd = os.open(real, _FLAGS)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise UntrustedResultError("a file that we read in a source tree must be a regular file", name)
        with open(fd, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(fd)
    if len(data) > limit:
        raise UntrustedResultError(f"a file that we read in a source tree must not be larger than {limit} bytes", name)
    return data
