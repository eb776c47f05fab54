"""Who has to wait for whom: the order in which packages of one run are built. Pure: it knows names and versions only.

A package waits for another one of the run if one of its build requirements, or of the dependencies of the wheels that
it gets for them, names it and its version fits. Anything else comes from the user's own index.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..frontends.supplies import Offer
from ..frozen import dataclass
from .needs import applies

__all__ = ["Found", "Ordering"]


@dataclass(frozen=True)
class Found:
    """What a package has and lacks of the packages of its run.

    :ivar given: the numbers of the packages whose wheels it may use
    :ivar waits: the numbers of those for which it waits; the value says whether one of its own build requirements names
        it, and not only a dependency of another wheel
    :ivar failed: the number of one that it needs, and that was not built
    :ivar elsewhere: names of packages that it gets from the user's index
    """

    given: Sequence[int] = ()
    waits: Mapping[int, bool] = dataclasses.field(default_factory=dict)
    failed: int | None = None
    elsewhere: frozenset[str] = frozenset()


# The extras of one package that count.
_MOST_EXTRAS = 16


class Ordering:
    """The packages of one run, by their numbers.

    :param offers: each package; ``None`` for one whose wheel no other package may use
    """

    def __init__(self, offers: Sequence[Offer | None]) -> None:
        self._offers: dict[int, Offer] = {}
        self._named: dict[str, list[int]] = defaultdict(list)
        for number, offer in enumerate(offers):
            if offer is not None:
                self._offers[number] = offer
                self._named[offer.name].append(number)
        self._asked: dict[int, dict[str, Requirement]] = defaultdict(dict)
        self._built: dict[int, Sequence[Requirement]] = {}
        self._failed: set[int] = set()
        self._waits: dict[int, Mapping[int, bool]] = {}
        self._waiting: dict[int, set[int]] = defaultdict(set)

    def ask(self, number: int, requirements: Iterable[Requirement]) -> bool:
        """Note build requirements of a package, and return whether one of them is new."""
        asked = self._asked[number]
        before = len(asked)
        asked.update((str(requirement), requirement) for requirement in requirements)
        return len(asked) > before

    def asked(self, number: int) -> list[str]:
        """Return the build requirements of a package that are noted."""
        return [*self._asked.get(number, ())]

    def built(self, number: int, offer: Offer | None, dependencies: Sequence[Requirement] = ()) -> None:
        """Note that a package is built.

        :param offer: its wheel; ``None`` if no other package may use it
        :param dependencies: those of its wheel
        """
        known = self._offers.pop(number, None)
        if known is not None and (offer is None or offer.name != known.name):
            self._named[known.name].remove(number)
        elif known is not None and offer is not None:
            self._offers[number] = offer
            self._built[number] = dependencies

    def fail(self, number: int) -> None:
        """Note that a package was not built."""
        self._failed.add(number)

    def waiting_for(self, number: int) -> list[int]:
        """Return the packages that wait for one, in their order."""
        return sorted(self._waiting.get(number, ()))

    def find(self, number: int) -> Found:
        """Return what a package has and lacks now, and note for whom it waits."""
        found = self._found(number)
        for other in self._waits.get(number, ()):
            self._waiting[other].discard(number)
        self._waits[number] = found.waits
        for other in found.waits:
            self._waiting[other].add(number)
        return found

    def _found(self, number: int) -> Found:
        asked: dict[str, dict[str, Requirement]] = defaultdict(dict)
        for text, requirement in self._asked[number].items():
            asked[canonicalize_name(requirement.name)][text] = requirement
        own = {*asked}
        chosen, elsewhere = self._chosen(number, asked)
        waits: dict[int, bool] = {}
        for name, other in chosen.items():
            if other in self._failed:
                return Found(failed=other)
            if other in self._built:
                continue
            if name not in own and self._path(other, number):
                elsewhere.add(name)  # a dependency of a wheel may be part of a circle: then it is the index that has it
            else:
                waits[other] = name in own
        given = [other for other in chosen.values() if other in self._built]
        return Found(given, waits, None, frozenset(elsewhere))

    def _chosen(self, number: int, asked: dict[str, dict[str, Requirement]]) -> tuple[dict[str, int], set[str]]:
        """Return the package for each name, and the names of which no package fits.

        :param asked: the requirements by name, to which those of the wheels are added
        """
        while True:
            size = sum(map(len, asked.values()))
            chosen = {name: self._best(number, of_name.values()) for name, of_name in asked.items()}
            for name, other in chosen.items():
                if other in self._built:
                    self._add_dependencies(asked, other, asked[name].values())
            if size == sum(map(len, asked.values())):
                found = {name: other for name, other in chosen.items() if other is not None}
                return found, {*chosen} - {*found}

    def _add_dependencies(
        self, asked: dict[str, dict[str, Requirement]], number: int, requirements: Iterable[Requirement]
    ) -> None:
        # A wheel may name thousands, also of itself, and each costs a look at each of its requirements.
        extras = sorted({extra for requirement in requirements for extra in requirement.extras})[:_MOST_EXTRAS]
        for requirement in self._built[number]:
            name = canonicalize_name(requirement.name)
            if name in self._named and applies(requirement, extras):
                asked[name].setdefault(str(requirement), requirement)

    def _best(self, number: int, requirements: Iterable[Requirement]) -> int | None:
        """Return the package that meets requirements of one name, the one of the highest version, or ``None``."""
        requirements = [*requirements]
        fitting = [
            other
            for other in self._named.get(canonicalize_name(requirements[0].name), ())
            if other != number and all(self._offers[other].fits(requirement) for requirement in requirements)
        ]
        known = [other for other in fitting if self._offers[other].version is not None]
        return max(known, key=lambda other: (self._offers[other].version, -other), default=next(iter(fitting), None))

    def circle(self, number: int) -> list[int]:
        """Return the packages that wait for each other in a circle through one, which is first and last."""
        for other in self._waits.get(number, ()):
            if path := self._path(other, number):
                return [number, *path]
        return []

    def loose(self, circle: Sequence[int]) -> int | None:
        """Return a package in a circle that waits only because of a dependency of a wheel, so it need not, if any."""
        pairs = itertools.pairwise(circle)
        return next((one for one, other in pairs if not self._waits[one][other]), None)

    def _path(self, begin: int, end: int) -> list[int]:
        """Return the way from one package to another along those that wait, or an empty list."""
        before: dict[int, int] = {begin: begin}
        todo = [begin]
        while todo and end not in before:
            number = todo.pop()
            for other in self._waits.get(number, ()):
                if before.setdefault(other, number) == number:
                    todo.append(other)
        if end not in before:
            return []
        path = [end]
        while path[-1] != begin:
            path.append(before[path[-1]])
        return path[::-1]
