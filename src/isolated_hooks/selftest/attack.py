"""The description of an attack, and the verdicts that decide whether it succeeded."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..frozen import dataclass
from ..protections import Protection
from .promises import KINDS, Promise
from .world.world import TEXT, World

__all__ = [
    "Arguments",
    "Attack",
    "Verdict",
    "changed",
    "done",
    "fixed",
    "fixed_paths",
    "leaks",
    "names_others",
    "no_arguments",
    "says",
]

Arguments = Callable[[World], dict[str, Any]]
Verdict = Callable[[World, Any], bool]


@dataclass(frozen=True)
class Attack:
    """One attack: a probe of the backend, its arguments, and a verdict from outside.

    :ivar name: the kind, a hyphen and a word: ``A01-home``
    :ivar tries: the aim of the attack, which completes a sentence that ends with *to*
    :ivar probe: the name of the backend's function
    :ivar arguments: returns the keyword arguments of the probe for a world
    :ivar succeeded: the verdict: returns whether the attack succeeded, from the world and the probe's evidence
    :ivar unless: the reason why it may fail on some hosts without the sandbox too; if empty, it must succeed there
    :ivar root: whether only root can run it without the sandbox
    :ivar harmless: whether it touches only planted targets on a user's host, with or without the sandbox
    :ivar stopped: the protections that should stop it, if they differ from those of its kind
    :ivar tests: the promise that it tests, if it differs from that of its kind
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
        """The id of the kind, a key of :data:`isolated_hooks.selftest.promises.KINDS`."""
        return self.name.partition("-")[0]

    @property
    def promise(self) -> Promise:
        """The promise that the attack tests."""
        return self.tests or KINDS[self.kind].promise

    @property
    def origin(self) -> str:
        """Reports of attacks of this kind, or projects that defend against them."""
        return KINDS[self.kind].origin

    @property
    def stopped_by(self) -> tuple[Protection, ...]:
        """The protections that should stop the attack: if all of them are active, it must fail."""
        return self.stopped or KINDS[self.kind].stopped_by

    @property
    def possible(self) -> bool:
        """Whether this user can try the attack: an attack that needs root fails for others even without the sandbox."""
        return not self.root or os.geteuid() == 0

    def needs_more(self) -> str:
        """Return why this attack may fail on this host even without the sandbox, or an empty string."""
        return self.unless if self.possible else "an ordinary user cannot do this without a sandbox either"


def no_arguments(_world: World) -> dict[str, Any]:
    """Return no arguments, for a probe that takes none."""
    return {}


def leaks(*names: str) -> Verdict:
    """Return the verdict that the evidence contains one of the named canaries."""
    return lambda world, evidence: bool(world.leaked([n for n in names if n in world.canaries], evidence))


def changed(path: Callable[[World], Path]) -> Verdict:
    """Return the verdict that a file outside contains the backend's text."""

    def verdict(world: World, _evidence: Any) -> bool:
        target = path(world)
        return target.exists() and TEXT in target.read_text()

    return verdict


def says(*words: str) -> Verdict:
    """Return the verdict that the evidence is one of these words, or contains one at any depth."""

    def contains_word(evidence: Any) -> bool:
        values = evidence.values() if isinstance(evidence, dict) else evidence
        return evidence in words if isinstance(evidence, str) else any(map(contains_word, values or ()))

    return lambda _world, evidence: contains_word(evidence)


done = says("done")


def fixed(**values: Any) -> Arguments:
    """Return arguments that are the same in every world."""
    return lambda _world: values


def fixed_paths(names: Iterable[str]) -> Arguments:
    """Return the argument ``paths``, the same in every world."""
    return lambda _world: {"paths": list(names)}


def names_others(_world: World, evidence: Any) -> bool:
    """Return whether the evidence names anything besides the expected objects."""
    return bool(evidence["others"])
