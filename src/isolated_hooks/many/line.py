"""The packages of a batch that wait for others of it, and the index of the wheels that are there for them."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Mapping, Sequence

from packaging.utils import canonicalize_name, parse_wheel_filename

from ..frontends.supplies import Offer, write_offers
from ..frozen import dataclass
from .index import Index
from .needs import dependencies, requirements
from .ordering import Found, Ordering
from .outcomes import BuildResult, UsedWheel
from .package import Supplied, Waits
from .requests import Task

__all__ = ["Line", "Settled"]

# Each time that a build waits it asks for another package. A backend that does so in each call is its own problem.
_MOST_WAITS = 20


@dataclass(frozen=True)
class Settled:
    """What becomes of a package that waits.

    :ivar waits: the numbers of the packages for which it goes on waiting; if there are none, it can be built
    :ivar lost: the numbers of packages that cannot be built, and why
    :ivar failed: whether that is because another package was not built
    """

    waits: Sequence[int] = ()
    lost: Mapping[int, str] = dataclasses.field(default_factory=dict)
    failed: bool = False


class Line(contextlib.ExitStack):
    """The packages that wait, as a context manager.

    :param independent: whether none waits for another one
    :ivar unsettled: the numbers of packages of which :meth:`settle` has to say what becomes of them
    """

    def __init__(self, tasks: Sequence[Task], *, independent: bool) -> None:
        super().__init__()
        self._tasks = tasks
        self._orders = len(tasks) > 1 and not independent
        self._offers = [_offer_of(task) for task in tasks] if self._orders else []
        self._ordering = Ordering(self._offers)
        self._path = ""
        self._index = Index()
        self._found: dict[int, Found] = {}
        self._begun: dict[int, BuildResult] = {}
        self._attempts: collections.Counter[int] = collections.Counter()
        self._waiting: set[int] = set()
        self._too_often: set[int] = set()
        self._wheels: dict[int, tuple[str, UsedWheel]] = {}
        self._urls: dict[int, str] = {}
        self.unsettled: collections.deque[int] = collections.deque()

    def __enter__(self) -> Line:
        super().__enter__()
        self.enter_context(self._index)
        return self

    def write(self, directory: str) -> None:
        """Write a file for all builds into a private directory."""
        self._path = f"{directory}/offers"
        write_offers(self._path, self._offers)

    def attempts(self, number: int) -> int:
        """Return how often a build has had to wait."""
        return self._attempts[number]

    def begun(self, number: int) -> BuildResult | None:
        """Return what was done of a build before it had to wait."""
        return self._begun.get(number)

    def waiting(self) -> list[int]:
        """Return the packages that wait."""
        return sorted(self._waiting)

    def supplied(self, number: int) -> Supplied:
        """Return what a build has of the other packages.

        :raises OSError: there can be no index
        """
        if not self._orders:
            return Supplied()
        found = self._found.get(number, Found())
        wheels = dict(self._wheels[other] for other in found.given)
        self._index.forget(self._urls.pop(number, ""))
        if wheels:
            self._urls[number] = self._index.directory(wheels)
        others = self._path, number, (*sorted(found.elsewhere),)
        return Supplied(self._urls.get(number, ""), (*wheels.values(),), others)

    def wait(self, number: int, waits: Waits) -> None:
        """Take a build that has to wait."""
        self._begun[number] = waits.begun
        self._attempts[number] += 1
        is_new = self._ordering.ask(number, requirements(waits.needs))
        if not is_new or self._attempts[number] > _MOST_WAITS:
            self._too_often.add(number)
        self._waiting.add(number)
        self.unsettled.append(number)

    def settle(self, number: int) -> Settled:
        """Return what becomes of a package that waits."""
        if "" in self._found.get(number, Found()).elsewhere:
            text = (
                f"its backend has asked for other packages of this run too often (expected {_MOST_WAITS} times at most)"
            )
            return Settled(lost={number: text})
        found = self._found[number] = self._ordering.find(number)
        if found.failed is not None:
            other = self._tasks[found.failed].label
            return Settled(lost={number: f"it needs {other}, which was not built"}, failed=True)
        if not found.waits:
            self._waiting.discard(number)
            return Settled()
        circle = self._ordering.circle(number)
        if not circle:
            return Settled([*found.waits])
        loose = self._ordering.loose(circle)
        if loose is not None:
            self.unsettled.append(loose)
            return Settled([*found.waits])
        way = " -> ".join(self._tasks[other].label for other in circle)
        return Settled(lost=dict.fromkeys(circle, f"build requirements form a cycle: {way}"))

    def end(self, number: int, result: BuildResult) -> None:
        """Take the result of a package, and have :meth:`settle` asked of those that wait for it."""
        self._waiting.discard(number)
        self._index.forget(self._urls.pop(number, ""))
        if not self._orders:
            return
        if not result.ok:
            self._ordering.fail(number)
        elif result.wheel is None:
            self._ordering.built(number, None)
        else:
            name, version, *_ = parse_wheel_filename(result.wheel.path.rpartition("/")[2])
            self._wheels[number] = result.wheel.path, UsedWheel(name, str(version), result.wheel.sha256)
            offer = Offer(canonicalize_name(name), version)
            self._ordering.built(number, offer, dependencies(result.wheel.path))
        self.unsettled.extend(self._ordering.waiting_for(number))


def _offer_of(task: Task) -> Offer | None:
    """Return the wheel of a task for others, if somebody else than the package says what it is.

    A source tree calls itself what it likes, such as ``setuptools``, and its hooks may write another name there.
    """
    if not task.request.wheel:
        return None
    if task.project is not None:
        return Offer(*task.project)
    return Offer(task.name, None) if task.is_named and task.name is not None else None
