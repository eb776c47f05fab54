"""Records what the environments of one command have installed, and which hook calls were those of requirements."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator, Sequence

from ...files.digests import file_digest
from ...provenance.statements import Material
from ...report import HookReport
from .unpacking import TREE

__all__ = ["Environment", "Recorded"]

_ROLE = "build requirement"


class Recorded:
    """The environments of one command.

    :param reports: the list that gets the report of each call
    :ivar environments: the environments, in the order in which they were made
    :ivar required: the numbers of the calls of hooks of build requirements
    """

    def __init__(self, reports: Sequence[HookReport]) -> None:
        self.reports = reports
        self.environments: list[Environment] = []
        self.required: set[int] = set()

    def begin(self) -> Environment:
        """Note that an environment was made, and return its record."""
        self.environments.append(Environment(self))
        return self.environments[-1]

    def used_for(self, number: int) -> Sequence[Material]:
        """Return what the environment held in which the hook call of a number ran."""
        for environment in self.environments:
            if environment.began <= number and (environment.ended is None or number < environment.ended):
                return [material for _, material in sorted(environment.requirements.items())]
        return ()


class Environment:
    """One environment.

    :ivar began: how many hook calls there were when it was made
    :ivar ended: how many there were at its end; ``None`` before that
    :ivar requirements: what was installed in it, by name
    """

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self.began = len(recorded.reports)
        self.ended: int | None = None
        self.requirements: dict[str, Material] = {}

    def end(self) -> None:
        """Note that it is no longer used."""
        self.ended = len(self._recorded.reports)

    @contextlib.contextmanager
    def fetching(self) -> Iterator[None]:
        """Note that each hook call within the context is one of a build requirement."""
        before = len(self._recorded.reports)
        try:
            yield
        finally:
            self._recorded.required.update(range(before, len(self._recorded.reports)))

    def fetched(self, directory: str) -> None:
        """Note what was fetched: digests of wheels, or of what distributions say of themselves.

        :param directory: the directory of the requirements, which no hook sees
        """
        for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.whl"))):
            self._add(os.path.basename(path), path)
        # uv leaves no wheel; the RECORD of a distribution has the digest of each of its files.
        tree = os.path.join(glob.escape(directory), TREE)
        for path in sorted(glob.glob(os.path.join(tree, "lib*", "python*", "site-packages", "*.dist-info", "RECORD"))):
            self._add("/".join(path.split(os.sep)[-2:]), path)

    def _add(self, name: str, path: str) -> None:
        digest = file_digest(path)
        if digest is not None:
            reports, required = self._recorded.reports, self._recorded.required
            built = any(artefact.name == name for number in required for artefact in reports[number].artefacts)
            role = f"{_ROLE}, built here from an sdist" if built else _ROLE
            self.requirements[name] = Material(name=name, digest=digest, role=role)
