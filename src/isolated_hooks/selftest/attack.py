"""What an attack is, and the ways in which its success is seen."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..protections import Protection
from .promises import KINDS, Promise
from .world.world import TEXT, World

__all__ = [
    "Arguments",
    "Attack",
    "Verdict",
    "changed",
    "done",
    "given",
    "leaks",
    "nothing",
    "others",
    "paths",
    "says",
]

Arguments = Callable[[World], dict[str, Any]]
Verdict = Callable[[World, Any], bool]


@dataclasses.dataclass(frozen=True)
class Attack:
    """One attack: a probe of the backend, what it is given, and how its success is seen from outside.

    :ivar name: the kind, a dash and a word: ``A01-home``
    :ivar tries: what it tries, as the end of a sentence that begins with *to*
    :ivar probe: the function of the backend
    :ivar arguments: what the probe is given
    :ivar succeeded: the verdict
    :ivar unless: why it may fail on some hosts without the sandbox too; where it is empty it has to succeed
    :ivar root: only root can do it without the sandbox
    :ivar harmless: it touches nothing on a user's host but what was planted for it, with or without the sandbox
    :ivar stopped: the protections meant to stop it, where these are not those of its kind
    :ivar tests: the promise that it tests, where this is not that of its kind
    """

    name: str
    tries: str
    probe: str
    arguments: Arguments
    succeeded: Verdict
    unless: str = ""
    root: bool = dataclasses.field(default=False, kw_only=True)
    harmless: bool = dataclasses.field(default=False, kw_only=True)
    stopped: tuple[Protection, ...] = dataclasses.field(default=(), kw_only=True)
    tests: Promise | None = dataclasses.field(default=None, kw_only=True)

    @property
    def kind(self) -> str:
        """The id of its kind, a key of :data:`isolated_hooks.selftest.promises.KINDS`."""
        return self.name.partition("-")[0]

    @property
    def promise(self) -> Promise:
        """The promise that it tests."""
        return self.tests or KINDS[self.kind].promise

    @property
    def origin(self) -> str:
        """Where attacks of this kind were seen, or who defends against them."""
        return KINDS[self.kind].origin

    @property
    def stopped_by(self) -> tuple[Protection, ...]:
        """The protections that are meant to stop it: where all are active it must fail."""
        return self.stopped or KINDS[self.kind].stopped_by

    @property
    def possible(self) -> bool:
        """Whether it is worth trying: an ordinary user cannot do without the sandbox what takes root."""
        return not self.root or os.geteuid() == 0

    def needs_more(self) -> str:
        """Say why this attack may fail here for want of rights or means, or return an empty text."""
        return self.unless if self.possible else "an ordinary user cannot do this without a sandbox either"


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


def given(**values: Any) -> Arguments:
    """The probe takes arguments that are the same in every world."""
    return lambda _world: values


def paths(names: Iterable[str]) -> Arguments:
    """The probe takes paths, the same in every world."""
    return lambda _world: {"paths": list(names)}


def others(_world: World, evidence: Any) -> bool:
    """The evidence names what should not be there."""
    return bool(evidence["others"])
