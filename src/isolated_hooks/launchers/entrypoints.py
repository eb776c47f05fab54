"""Finds a launcher by name: a built-in one, or an entry point of the group ``isolated_hooks.launchers``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import IsolatedHooksError, PolicyError, SandboxUnavailableError
from ..files.spelling import absolute
from ..files.steered import recorded_trees
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


def find_launcher(name: str) -> Launcher:
    """Return the launcher of that name.

    :raises PolicyError: no launcher of that name is installed
    :raises SandboxUnavailableError: the launcher cannot be loaded, or does not have the interface of one
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    entries = [entry for entry in _entry_points() if entry.name == name]
    if not entries:
        names = ", ".join((*BUILT_IN, *sorted({visible(entry.name) for entry in _entry_points()} - BUILT_IN.keys())))
        raise PolicyError(
            f"policy: launcher: {visible(name)!r} is not installed; there are: {names}. Remedy: install the "
            f"distribution that registers it in the entry point group {GROUP} for the Python that runs the frontend"
        )
    return _Foreign(entries)


def list_launchers() -> tuple[tuple[str, Availability], ...]:
    """Return the name of every launcher, the built-in ones first, and whether it works on this host."""
    names = dict.fromkeys((*BUILT_IN, *sorted(entry.name for entry in _entry_points())))
    return tuple((name, _availability(name)) for name in names)


def _availability(name: str) -> Availability:
    try:
        return find_launcher(name).availability()
    except SandboxUnavailableError as error:
        return Availability(False, "; ".join(error.missing), error.remedy)


def _entry_points() -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # slow: it reads every installed distribution

    return tuple(entry_points(group=GROUP))


class _Foreign:
    """A launcher of another distribution. We trust it; this class turns its faults into errors that name it."""

    def __init__(self, entries: Sequence[EntryPoint]) -> None:
        self.name = entries[0].name
        self._origin = " and ".join(sorted({_origin(entry) for entry in entries}))
        if len({entry.value for entry in entries}) > 1:
            raise self._error("several distributions register one of this name")
        self._refuse_steered(entries)
        with self._attributing("cannot be loaded"):
            self._own: Launcher = entries[0].load()()
        with self._attributing("is not a launcher"):
            self.proxied = bool(getattr(self._own, "proxied", False))
            self.identities, self.paths = frozenset(self._own.identities), tuple(self._own.paths)
            known = bool(self.identities) and self.identities <= frozenset(Identity)
            if self._own.name != self.name or not known or not all(map(os.path.isabs, self.paths)):
                raise ValueError(f"expected the name {self.name!r}, members of Identity, and absolute paths")

    def _refuse_steered(self, entries: Sequence[EntryPoint]) -> None:
        """Refuse a launcher that a hook may have put where Python searches, since it was not there at the start."""
        places = [str(entry.dist.locate_file("")) for entry in entries if entry.dist]
        if entries[0].module.partition(".")[0] not in sys.modules:
            places += sys.path
        for place in map(absolute, places):
            if recorded_trees().steer(place):
                raise self._error(f"Python would search {visible(place, limit=300)!r}, where hooks may write, for it")

    def availability(self) -> Availability:
        with self._attributing("cannot report its availability"):
            answer = self._own.availability()
            return Availability(answer.available, answer.reason, answer.remedy)

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        with self._attributing("cannot report its protections"):
            statuses = tuple(self._own.protections(plan))
            # Nothing compares a missing protection with the policy, so it would count as active.
            if sorted(status.protection.value for status in statuses) != sorted(p.value for p in Protection):
                raise ValueError("protections() must return every protection once")
            return statuses

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        availability = self.availability()
        if not availability.available:
            raise SandboxUnavailableError([f"the launcher {self.name}: {availability.reason}"], availability.remedy)
        with self._attributing("cannot make a command"):
            command = list(self._own.command(plan, workspace, argv))
            # The system would search the PATH of the build, or the source tree, for a relative name.
            if not os.path.isabs([*command, ""][0]):
                raise ValueError("command() must return a list that begins with the absolute path of a program")
            return command

    @contextlib.contextmanager
    def _attributing(self, problem: str) -> Iterator[None]:
        try:
            yield
        except IsolatedHooksError:
            raise
        except Exception as error:
            text = visible(str(error), limit=200)
            raise self._error(f"it {problem}: {type(error).__name__}: {text}") from error

    def _error(self, problem: str) -> SandboxUnavailableError:
        return SandboxUnavailableError(
            [f"the launcher {visible(self.name)} of {self._origin}: {problem}"],
            f"repair or remove {self._origin}, or choose another launcher, such as native",
        )


def _origin(entry: EntryPoint) -> str:
    return visible(f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value)
