"""What one build has of the packages that are built in the same run: wheels from an index of ours, or a wait."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ..errors import IsolatedHooksError
from ..frozen import dataclass

__all__ = ["NeedsError", "Offer", "Supplies", "write_offers"]


class NeedsError(IsolatedHooksError):
    """A build has to wait for other packages of its run.

    :ivar needs: the requirements that name them
    """

    def __init__(self, needs: Sequence[str]) -> None:
        super().__init__(needs)
        self.needs = tuple(needs)

    def __str__(self) -> str:
        return f"another package of this run has to be built first: {', '.join(self.needs)}"


@dataclass(frozen=True)
class Offer:
    """Another package of the run.

    :ivar name: its normalised name
    :ivar version: its version; ``None`` if nobody knows it before it is built
    """

    name: str
    version: Version | None

    def fits(self, requirement: Requirement) -> bool:
        """Return whether its wheel may meet a requirement."""
        if requirement.url is not None or canonicalize_name(requirement.name) != self.name:
            return False
        return self.version is None or requirement.specifier.contains(self.version, prereleases=True)


def _others(path: str, number: int, elsewhere: Collection[str]) -> Iterator[Offer]:
    with open(path, encoding="utf-8") as file:
        offers = json.load(file)
    for other, offer in enumerate(offers):
        if offer is not None and other != number and offer[0] not in elsewhere:
            yield Offer(offer[0], None if offer[1] is None else Version(offer[1]))


def write_offers(path: str, offers: Iterable[Offer | None]) -> None:
    """Write all packages of a run to a file, in their order."""
    values = [offer and (offer.name, offer.version and str(offer.version)) for offer in offers]
    with open(path, "x", encoding="utf-8") as file:
        json.dump(values, file)


class Supplies:
    """The wheels of the run that one build may use, and the packages for which it has to wait.

    :param index: the URL of the directory in which the index of these wheels is
    :param wheels: what is in that index
    :param others: further packages of the run, which the build may come to need
    :ivar index: as given
    :ivar asked: all build requirements that the build has asked for so far
    """

    def __init__(self, index: str = "", wheels: Iterable[Offer] = (), others: Iterable[Offer] = ()) -> None:
        self.index = index
        self.asked: dict[str, None] = {}
        self._wheels = {offer.name: offer for offer in wheels}
        self._others: dict[str, list[Offer]] = defaultdict(list)
        for offer in others:
            if offer.name not in self._wheels:
                self._others[offer.name].append(offer)

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Supplies:
        """Return what the JSON values of :class:`..many.package.Supplied` describe.

        :raises OSError: the file of all packages of the run cannot be read
        """
        wheels = [Offer(wheel["name"], Version(wheel["version"])) for wheel in values["wheels"]]
        return cls(values["index"], wheels, _others(**values["others"]) if values["others"] else ())

    def check(self, requirements: Iterable[Requirement]) -> None:
        """Note the requirements of a build that apply to this interpreter.

        :raises NeedsError: another package has to be built first
        """
        requirements = [*requirements]
        self.asked.update((str(requirement), None) for requirement in requirements)
        needs = [str(requirement) for requirement in requirements if self._is_to_come(requirement)]
        if needs:
            raise NeedsError(needs)

    def _is_to_come(self, requirement: Requirement) -> bool:
        offers = self._others.get(canonicalize_name(requirement.name), ())
        return any(offer.fits(requirement) for offer in offers)

    def constraints(self, requirements: Iterable[Requirement]) -> str:
        """Return lines for a constraints file, with which pip takes the wheels of the run.

        A wheel whose version does not fit one of the requirements is not in them.
        """
        if not self._wheels:
            return ""
        names: dict[str, list[Requirement]] = defaultdict(list)
        for requirement in requirements:
            names[canonicalize_name(requirement.name)].append(requirement)
        lines = [f"--extra-index-url {self.index}simple/"]
        for name, offer in sorted(self._wheels.items()):
            # These are asked with --no-index, too, which is the user's.
            lines.append(f"--find-links {self.index}simple/{name}/")
            if all(offer.fits(requirement) for requirement in names[name]):
                lines.append(f"{name}=={offer.version}")
        return "\n".join(lines)
