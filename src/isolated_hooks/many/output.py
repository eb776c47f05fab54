"""The directory that gets the artefacts of a batch. Each one is moved into place complete, and none twice."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection

from ..errors import PolicyError
from ..files.aside import aside, sweep_aside
from ..files.pinned import Pinned
from ..results.names import project_of
from ..text import visible
from .outcomes import BuiltFile
from .resuming import record_of

__all__ = ["Output", "TakenError"]


class TakenError(Exception):
    """A file has its name from another package, or is for another one; the text says which."""


class Output(contextlib.ExitStack):
    """An output directory, as a context manager that holds it open, with a hidden directory for staging in it.

    :param path: its real path
    :param names: the normalised names of all packages that are built into it, as far as somebody knew them before
    :ivar staging: the path of the hidden directory
    :raises PolicyError: we cannot write there
    """

    def __init__(self, path: str, names: Collection[str] = ()) -> None:
        super().__init__()
        self._names = frozenset(names)
        self._taken: set[str] = set()
        try:
            self._held = self.enter_context(Pinned(path))
            sweep_aside(self._held.fd)
            self._staging = self.enter_context(aside(self._held.fd))
        except OSError as error:
            self.close()
            raise PolicyError(
                f"{visible(path, limit=300)!r} cannot be used for the artefacts: {error.strerror}. Remedy: choose a "
                "directory that you may write to"
            ) from error
        self.staging = os.readlink(f"/proc/self/fd/{self._staging}")

    def publish(self, *files: BuiltFile | None, name: str | None = None, tree: bool = True) -> list[BuiltFile | None]:
        """Move files from beneath the staging directory into place, and return them with their new paths.

        :param files: those of one package; ``None`` stays
        :param name: the normalised name of this package, if somebody knew it before
        :param tree: whether it was built from a source tree; if so, what an earlier run has built from an sdist stays
        :raises TakenError: another package has made a file of one of these names, or one is named after another
            package; then none is moved
        :raises UntrustedResultError: somebody has moved the directory
        :raises OSError: one of them cannot be moved
        """
        for file in files:
            if file is not None:
                self._refuse_taken(file)
                self._refuse_posing(file, name, tree=tree)
        self._held.check()
        return [None if file is None else self._moved(file) for file in files]

    def keep(self, file: BuiltFile) -> None:
        """Leave a file of an earlier run in place.

        :raises TakenError: another package has made a file of its name
        """
        self._refuse_taken(file)
        self._taken.add(_spelled_alike(file))

    def _refuse_taken(self, file: BuiltFile) -> None:
        if _spelled_alike(file) in self._taken:
            raise TakenError(f"another package of this run has made {os.path.basename(file.path)!r}, which stays")

    def _refuse_posing(self, file: BuiltFile, name: str | None, *, tree: bool) -> None:
        """Refuse a file that would stand where another package's belongs, as the hooks of a source tree may name it."""
        made = os.path.basename(file.path)
        project = project_of(made)[0]
        if project != name and project in self._names:
            raise TakenError(f"{made!r} is named after another package of this run ({project})")
        if tree and self._has(made) and self._has(record_of(made)):
            raise TakenError(
                f"an earlier run has built {made!r} from an sdist, and a source tree does not replace it. Remedy: "
                "remove it, or choose another directory"
            )

    def _has(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._held.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            return error.errno != errno.ENAMETOOLONG
        return True

    def _moved(self, file: BuiltFile) -> BuiltFile:
        name = os.path.basename(file.path)
        inside = os.path.relpath(file.path, self.staging)
        os.rename(inside, name, src_dir_fd=self._staging, dst_dir_fd=self._held.fd)
        self._taken.add(_spelled_alike(file))
        return BuiltFile(os.path.join(self._held.path, name), file.size, file.sha256)


def _spelled_alike(file: BuiltFile) -> str:
    """Return what is the same for all spellings of a file name: installers, and some file systems, tell none apart."""
    name = os.path.basename(file.path)
    tags = name.lower().split("-")[2:] if name.endswith(".whl") else ()
    return "-".join((*map(str, project_of(name)), *tags))
