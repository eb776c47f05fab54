"""What pip writes outside of any sandbox, where a hook may have put a link, by which it would write where no hook can.

Wheels and downloads, ``--wheel-dir`` and ``--dest``, go to the current directory where nothing is said, which often is
the source tree: a link by the name of one is replaced. Whatever else is opened to be written, ``--report`` and the file
of ``pip lock`` for instance, is refused where a link in a source tree leads out of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from typing import Any

from ...files.paths import RealFilesystem, is_within, resolve
from ...text import visible

__all__ = ["SavingShutil", "link_out_of"]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def link_out_of(trees: Collection[str], path: object, flags: int) -> str | None:
    """Return the link in a source tree by which a file that is opened to be written lies outside, if there is one.

    :param trees: real paths of the source trees of hooks that were run
    :param path, flags: as the audit event ``open`` has them
    """
    if not trees or not flags & _WRITING or not isinstance(path, (str, bytes)):
        return None
    name = os.path.abspath(os.fsdecode(path))
    _, links = resolve(RealFilesystem(), name)
    inside = [link for link in links if any(is_within(link, tree) for tree in trees)]
    real = os.path.realpath(name)
    return inside[0] if inside and not any(is_within(real, tree) for tree in trees) else None


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
