"""What an attack is, and the ways in which its success is seen."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from attackworld import TEXT, World

Arguments = Callable[[World], dict[str, Any]]
Verdict = Callable[[World, Any], bool]


@dataclasses.dataclass(frozen=True)
class Attack:
    """One attack; see :mod:`attacktable`."""

    name: str
    tries: str
    probe: str
    arguments: Arguments
    succeeded: Verdict
    needs: str = ""

    def needs_more(self) -> str:
        """Say why this attack may fail here for want of rights or means, or return an empty text."""
        if self.needs == "root":
            return "" if os.geteuid() == 0 else "an ordinary user cannot do this without a sandbox either"
        return self.needs


def nothing(_world: World) -> dict[str, Any]:
    """A probe without arguments."""
    return {}


def leaks(*names: str) -> Verdict:
    """The canaries of those names are in the evidence."""
    return lambda world, evidence: bool(world.leaked([n for n in names if n in world.canaries], evidence))


def changed(path: Callable[[World], Path]) -> Verdict:
    """A file outside holds what the backend writes."""

    def verdict(world: World, _evidence: Any) -> bool:
        target = path(world)
        return target.exists() and TEXT in target.read_text()

    return verdict


def says(*words: str) -> Verdict:
    """The evidence is one of these words, or holds one of them."""

    def said(evidence: Any) -> bool:
        values = evidence.values() if isinstance(evidence, dict) else evidence
        return evidence in words if isinstance(evidence, str) else any(map(said, values or ()))

    return lambda _world, evidence: said(evidence)


done = says("done")


def paths(names: Iterable[str]) -> Arguments:
    """The probe takes paths, the same in every world."""
    return lambda _world: {"paths": list(names)}


def others(_world: World, evidence: Any) -> bool:
    """The evidence names what should not be there."""
    return bool(evidence["others"])
