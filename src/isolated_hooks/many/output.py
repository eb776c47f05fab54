"""The directory that gets the artefacts of a batch. Each one is moved into place complete, and none twice."""

from __future__ import annotations

import contextlib
import os

from ..errors import PolicyError
from ..files.aside import aside, sweep_aside
from ..files.pinned import Pinned
from ..text import visible
from .outcomes import BuiltFile

__all__ = ["Output", "TakenError"]


class TakenError(Exception):
    """Another package of this batch has made a file of the same name."""


class Output(contextlib.ExitStack):
    """An output directory, as a context manager that holds it open, with a hidden directory for staging in it.

    :param path: its real path
    :ivar staging: the path of the hidden directory
    :raises PolicyError: we cannot write there
    """

    def __init__(self, path: str) -> None:
        super().__init__()
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

    def publish(self, *files: BuiltFile | None) -> list[BuiltFile | None]:
        """Move files from beneath the staging directory into place, and return them with their new paths.

        :param files: those of one package; ``None`` stays
        :raises TakenError: another package has made a file of one of these names; then none is moved
        :raises UntrustedResultError: somebody has moved the directory
        :raises OSError: one of them cannot be moved
        """
        for file in files:
            self._refuse_taken(file)
        self._held.check()
        return [None if file is None else self._moved(file) for file in files]

    def keep(self, file: BuiltFile) -> None:
        """Leave a file of an earlier run in place.

        :raises TakenError: another package has made a file of its name
        """
        self._refuse_taken(file)
        self._taken.add(os.path.basename(file.path))

    def _refuse_taken(self, file: BuiltFile | None) -> None:
        if file is not None and os.path.basename(file.path) in self._taken:
            raise TakenError(os.path.basename(file.path))

    def _moved(self, file: BuiltFile) -> BuiltFile:
        name = os.path.basename(file.path)
        inside = os.path.relpath(file.path, self.staging)
        os.rename(inside, name, src_dir_fd=self._staging, dst_dir_fd=self._held.fd)
        self._taken.add(name)
        return BuiltFile(os.path.join(self._held.path, name), file.size, file.sha256)
