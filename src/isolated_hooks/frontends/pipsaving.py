"""Where pip puts the wheels and the downloads that were asked for, outside of any sandbox: ``--wheel-dir``, ``--dest``.

That is the current directory where nothing is said, and often the source tree, in which a hook may have put a link by
the name of the file or in the place of the directory. pip's ``shutil.copy`` follows both, and would write where the
hook cannot.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from ..text import visible

__all__ = ["SavingShutil"]


class SavingShutil:
    """Stands for the module :mod:`shutil` in a module of pip.

    :param refused: makes the exception for pip out of a text
    :param into: whether pip names the directory to copy to, and not the file
    """

    def __init__(self, refused: Callable[[str], Exception], *, into: bool) -> None:
        self._refused = refused
        self._into = into

    def __getattr__(self, name: str) -> Any:
        return getattr(shutil, name)

    def copy(self, source: str, destination: str) -> str:
        """Copy a file as :func:`shutil.copy`, without following a link.

        pip has resolved the directory's links at its start, so whatever there is now was made since.
        """
        target = os.path.join(destination, os.path.basename(source)) if self._into else destination
        directory = os.path.dirname(os.path.abspath(target))
        if os.path.realpath(directory) != directory:
            raise self._refused(
                f"{visible(directory)!r} was replaced by a link while hooks were run, so nothing is written there: "
                "choose a directory outside of the source tree"
            )
        if os.path.lexists(target) and (os.path.islink(target) or not os.path.isdir(target)):
            os.unlink(target)
        shutil.copyfile(source, target, follow_symlinks=False)
        shutil.copymode(source, target)
        return target
