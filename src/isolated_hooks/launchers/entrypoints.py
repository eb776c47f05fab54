"""How a launcher is found by its name: our own, or one of the entry point group ``isolated_hooks.launchers``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import IsolatedHooksError, PolicyError, SandboxUnavailableError
from ..plan import Identity, Plan
from ..protections import Protection, ProtectionStatus
from ..text import visible
from .bubblewrap import Bubblewrap
from .native import Native
from .protocol import Availability, Launcher

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["BUILT_IN", "GROUP", "find_launcher", "list_launchers"]

GROUP = "isolated_hooks.launchers"
BUILT_IN: dict[str, Callable[[], Launcher]] = {"native": Native, "bubblewrap": Bubblewrap}
_T = TypeVar("_T")


def find_launcher(name: str) -> Launcher:
    """Return the launcher of that name.

    :raises PolicyError: nothing of that name is installed
    :raises SandboxUnavailableError: it cannot be loaded, or it is no launcher
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    found = [entry for entry in _entry_points() if entry.name == name]
    if not found:
        names = ", ".join((*BUILT_IN, *sorted({visible(entry.name) for entry in _entry_points()} - BUILT_IN.keys())))
        raise PolicyError(
            f"policy: launcher: {visible(name)!r} is not installed; there are: {names}. Install the distribution that "
            f"brings it, by an entry point of the group {GROUP}, for the Python that runs the frontend"
        )
    return _Foreign(found)


def list_launchers() -> tuple[tuple[str, Availability], ...]:
    """Return the name of every launcher, our own first, and whether it can be used on this host."""
    names = dict.fromkeys((*BUILT_IN, *sorted(entry.name for entry in _entry_points())))
    return tuple((name, _availability(name)) for name in names)


def _availability(name: str) -> Availability:
    try:
        return find_launcher(name).availability()
    except SandboxUnavailableError as error:
        return Availability(False, "; ".join(error.missing), error.remedy)


def _entry_points() -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # late, because it reads every installed distribution

    return tuple(entry_points(group=GROUP))


class _Foreign:
    """A launcher of another distribution: what it answers is checked, what it raises becomes an error of ours."""

    def __init__(self, entries: Sequence[EntryPoint]) -> None:
        self.name = entries[0].name
        origins = sorted({_origin(entry) for entry in entries})
        self._origin = " and ".join(origins)
        if len(entries) > 1 and len({entry.value for entry in entries}) > 1:
            raise self._error(f"several distributions bring one: {self._origin}")
        self._own: Any = self._ask("be loaded", lambda: entries[0].load()())
        self.identities = self._get("identities", frozenset, Identity)
        self.paths = self._get("paths", tuple, str)
        if self._ask("be asked for its name", lambda: self._own.name) != self.name:
            raise self._error(f"its name is not {self.name!r}")
        if not self.identities or not all(map(os.path.isabs, self.paths)):
            raise self._error("it knows no identity, or a path that is not absolute")

    def availability(self) -> Availability:
        answer = self._ask("say whether it is available", lambda: self._own.availability())
        return self._checked(answer, Availability, "availability()")

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        answer = self._ask("say what it holds", lambda: tuple(self._own.protections(plan)))
        for status in answer:
            self._checked(status, ProtectionStatus, "protections()")
        if sorted(status.protection.value for status in answer) != sorted(p.value for p in Protection):
            raise self._error("protections() has to return every protection once")
        return answer

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        availability = self.availability()
        if not availability.available:
            raise SandboxUnavailableError([f"the launcher {self.name}: {availability.reason}"], availability.remedy)
        answer = self._ask("make a command", lambda: list(self._own.command(plan, workspace, argv)))
        if not answer or not all(isinstance(word, str) for word in answer) or not os.path.isabs(answer[0]):
            # A relative name would be looked for in the PATH of the build, or in the source tree.
            raise self._error("command() has to return texts, the first of them the absolute path of a program")
        return answer

    def _get(self, name: str, kind: Callable[[Iterable[_T]], Any], item: type[_T]) -> Any:
        answer = self._ask(f"be asked for its {name}", lambda: kind(getattr(self._own, name)))
        for value in answer:
            self._checked(value, item, name)
        return answer

    def _checked(self, value: Any, kind: type[_T], what: str) -> _T:
        if not isinstance(value, kind):
            raise self._error(f"{what} gave a {type(value).__name__}, not {kind.__name__}")
        return value

    def _ask(self, what: str, question: Callable[[], _T]) -> _T:
        try:
            return question()
        except IsolatedHooksError:
            raise
        except Exception as error:
            raise self._error(f"it cannot {what}: {type(error).__name__}: {visible(str(error), limit=200)}") from error

    def _error(self, why: str) -> SandboxUnavailableError:
        return SandboxUnavailableError(
            [f"the launcher {visible(self.name)} of {self._origin}: {why}"],
            f"repair or remove {self._origin}, or choose another launcher, such as native",
        )


def _origin(entry: EntryPoint) -> str:
    return visible(f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value)
