"""Keeps pip, which writes outside the sandbox, from following links that a hook made in order to redirect its writes.

Wheels and downloads go to the current directory unless ``--wheel-dir`` or ``--dest`` names another one. The current
directory is often the source tree. If a link has the name of a wheel, the wheel replaces the link. ``..opening`` looks
at pip's other writes, ``--report`` and the file of ``pip lock`` for instance.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from ...files.spelling import absolute
from ...text import visible

__all__ = ["SavingShutil"]


class SavingShutil:
    """Takes the place of the module :mod:`shutil` in a module of pip.

    :param refused: makes an exception of pip's from a message
    :param into: whether pip passes the destination directory rather than the destination file
    """

    def __init__(self, refused: Callable[[str], Exception], *, into: bool) -> None:
        self._refused = refused
        self._into = into

    def __getattr__(self, name: str) -> Any:
        return getattr(shutil, name)

    def copy(self, source: str, destination: str) -> str:
        """Copy a file as :func:`shutil.copy`, without following a link.

        pip resolved the links in the directory's path at its start, so any link there now is newer.
        """
        target = os.path.join(destination, os.path.basename(source)) if self._into else destination
        directory = os.path.dirname(absolute(target))
        if os.path.realpath(directory) != directory:
            raise self._refused(
                f"{visible(directory)!r} was replaced by a link while hooks were run, so pip does not write there. "
                "Remedy: choose a directory outside of the source tree"
            )
        if os.path.lexists(target) and (os.path.islink(target) or not os.path.isdir(target)):
            os.unlink(target)
        shutil.copyfile(source, target, follow_symlinks=False)
        shutil.copymode(source, target)
        return target
