"""What was fetched for the environments of one command: each set of requirements is fetched once."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable

from ...run.workspace import PrivateDirectory
from .fetching import Request

__all__ = ["Downloads"]


class Downloads:
    """Directories with fetched requirements, in a private directory that no hook sees.

    build makes an environment for the sdist and another one for the wheel, and often both need the same. The index is
    then asked once, and a requirement that is an sdist is built once.
    """

    def __init__(self) -> None:
        self._private: PrivateDirectory | None = None
        self._fetched: dict[tuple[object, ...], str] = {}

    def get(self, fetch: Callable[[Request], None], request: Request) -> str:
        """Return the directory for a request, which need not name one.

        :param fetch: fills the directory, if no earlier request was the same
        """
        asked = (fetch, *request.requirements), (*request.constraints,), (*request.links,)
        if asked not in self._fetched:
            self._private = self._private or PrivateDirectory(prefix="build-requirements-")
            directory = tempfile.mkdtemp(dir=self._private.path)
            fetch(request.into(directory))
            self._fetched[asked] = directory
        return self._fetched[asked]

    def close(self) -> None:
        """Remove all of it."""
        if self._private is not None:
            with contextlib.suppress(OSError):
                self._private.close()
