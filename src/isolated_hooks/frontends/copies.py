"""Copies of files that a frontend reads again and again, made before the first hook can change the originals.

A copy is an unnamed file in memory, which other processes of this user open through ``/proc``. A hook sees no process
outside its sandbox, and nothing is left when this process ends.
"""

from __future__ import annotations

import contextlib
import os
import re

from ..errors import UntrustedResultError
from ..files.reading import read_file
from ..files.steered import Trees
from ..text import visible

__all__ = ["Copies"]

#: The most bytes of a file: a list of constraints with hashes may have some megabytes.
MAX_FILE = 16 << 20
_MAX_FILES = 100
# A line of a requirements file that names another one, relative to the directory of this one.
_NAMED = re.compile(rb"^(\s*(?:-[rc]|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-[rc])))(\S+)(.*)$", re.MULTILINE)


class Copies(contextlib.ExitStack):
    """Copies of files, until the end of this context.

    :ivar trees: the trees that hooks may write to
    :ivar made: the path of each copy, by that of its original
    """

    def __init__(self, trees: Trees) -> None:
        super().__init__()
        self.trees = trees
        self.made: dict[str, str] = {}

    def plain(self, path: str) -> str:
        """Return the path of a copy of a file.

        :raises UntrustedResultError, OSError: as :func:`..files.reading.read_file`
        """
        if path not in self.made:
            self.made[path] = self._written(read_file(path, self.trees, limit=MAX_FILE))
        return self.made[path]

    def requirements(self, path: str) -> str:
        """Return the path of a copy of a requirements or constraints file, which names copies of those it includes.

        :raises UntrustedResultError: as :func:`..files.reading.read_file`; or there are too many files
        :raises OSError: one of them cannot be read
        """
        if path in self.made:
            return self.made[path]
        if len(self.made) >= _MAX_FILES:
            raise UntrustedResultError(
                f"requirements files must not include more than {_MAX_FILES} others", visible(path, limit=300)
            )
        # Before the files that it includes: they may include each other in a circle.
        fd, self.made[path] = self._new()
        text = read_file(path, self.trees, limit=MAX_FILE)
        directory = os.fsencode(os.path.dirname(path))

        def replaced(line: re.Match[bytes]) -> bytes:
            option, name, rest = line.groups()
            if b"://" in name or name.startswith(b"file:") or b"${" in name:
                return line[0]
            return option + os.fsencode(self.requirements(os.fsdecode(os.path.join(directory, name)))) + rest

        _write(fd, _NAMED.sub(replaced, text))
        return self.made[path]

    def _written(self, data: bytes) -> str:
        fd, path = self._new()
        _write(fd, data)
        return path

    def _new(self) -> tuple[int, str]:
        fd = os.memfd_create("isolated-hooks-copy")
        self.callback(os.close, fd)
        return fd, f"/proc/{os.readlink('/proc/self')}/fd/{fd}"


def _write(fd: int, data: bytes) -> None:
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
