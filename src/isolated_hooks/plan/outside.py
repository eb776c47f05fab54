"""What a call needs from outside the system: the interpreter, programs on search paths, toolchains, exposed paths.

Each path is shown for a reason, which ``explain`` prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import PolicyError
from ..files.paths import is_within, resolve
from ..policy import Policy
from ..text import visible
from .interpreter import interpreter_paths
from .plan import Situation
from .search_path import rustup_home, search_path, tool_paths
from .toolchains import OPT, linked_paths, loader_paths, named_paths, toolchain
from .view import SCRATCH, View, refuse_reserved

__all__ = ["Outside"]

# The sandbox has its own versions of these directories, as of /dev. A search path cannot show the host's there.
_OWN = ("/etc", "/proc", "/sys")


class Outside:
    """Shows what one call needs from outside the system.

    :ivar toolchains: the real paths beneath /opt that we show as a whole
    :ivar programs: the directories of search paths that lie beyond the system
    :ivar rustup_home: the directory of rustup's toolchains, if the hook sees it
    """

    def __init__(self, view: View, situation: Situation, policy: Policy, trees: tuple[str, ...]) -> None:
        self._view = view
        self._situation = situation
        self._filesystem = situation.filesystem
        self._policy = policy
        self._trees = trees
        self.toolchains: list[str] = []
        self.programs: list[str] = []
        self.rustup_home: str | None = None

    def in_tree(self, path: str) -> bool:
        """Return whether the hook may write to the directory of a path, so that a link there may lead anywhere."""
        return any(is_within(path, tree) for tree in (*self._trees, *self._policy.writable))

    def interpreter(self, python: str) -> None:
        """Show an interpreter and everything that it loads."""
        for path in interpreter_paths(self._filesystem, python):
            self.show(path, "the interpreter")

    def show(self, path: str, reason: str, *, owned: str = "caller") -> None:
        """Show a path that the policy does not name, read-only, unless that would show too much.

        The source tree is visible anyway, and we follow no link in it, because a hook may choose its target.
        """
        real, links = resolve(self._filesystem, path)
        if real is None or self.in_tree(real) or any(self.in_tree(link) for link in links) or self._too_wide(path):
            return
        if not self._view.shows(real):
            self._view.show(path, reason=reason, owned="" if self._view.covers(real) else owned)

    def search_paths(self, variables: Mapping[str, str]) -> None:
        """Show the programs on ``PATH``, and what the frontend has put on ``PYTHONPATH``."""
        started_with = search_path(self._situation.started_with.get("PATH", ""))
        for entry in search_path(variables.get("PATH", "")):
            # pip's build environment has a bin directory only if a package in it has programs.
            if self._filesystem.kind(entry) is None and entry in started_with:
                continue
            # An entry that the frontend has added belongs to a build environment. The hook has to read that even if
            # the umask was strict.
            self._program_directory(entry, variables, owned="" if entry in started_with else "caller")
        # The hook gets PYTHONPATH only if the frontend has set it, not if the user has, see environ.py.
        python_path = variables.get("PYTHONPATH", "")
        if python_path != self._situation.started_with.get("PYTHONPATH"):
            for entry in search_path(python_path):
                self.show(entry, "PYTHONPATH")

    def _program_directory(self, entry: str, variables: Mapping[str, str], *, owned: str) -> None:
        rustup = rustup_home(self._filesystem, entry, variables)
        self.rustup_home = rustup or self.rustup_home
        if not self._view.covers(entry):
            self.programs.append(entry)
        tools = tool_paths(self._filesystem, entry, self._situation.home, self._selections())
        for path in (entry, *tools, *([rustup] if rustup else [])):
            self.show(path, "PATH", owned=owned)
        self._toolchain(entry, "PATH")

    def _selections(self) -> tuple[str, ...]:
        """Return the files that say which versions pyenv's programs run."""
        return tuple(f"{tree}/.python-version" for tree in self._trees[:1])

    def toolchains_of(self, variables: Mapping[str, str]) -> None:
        """Show the toolchains beneath /opt that variables, the system's links and the dynamic loader name.

        :param variables: the variables that the hook gets
        """
        for name, value in variables.items():
            if f"{OPT}/" in value:
                for path in named_paths(value):
                    self._toolchain(path, name)
        for link, target in linked_paths(self._filesystem):
            self._toolchain(target, link)
        for path in loader_paths(self._filesystem):
            self._toolchain(path, "/etc/ld.so.conf.d")

    def _toolchain(self, path: str, reason: str) -> None:
        real, links = resolve(self._filesystem, path)
        if real is None or any(self.in_tree(link) for link in links):
            return
        top = toolchain(self._filesystem, real)
        if top is None or self._too_wide(top) or self.in_tree(top):
            return
        if not self._view.shows(top):
            self._view.place(path)
            self.show(top, reason, owned="")
        self.toolchains.append(top)

    def expose(self, paths: Iterable[str], *, writable: bool) -> None:
        """Show paths that the policy names.

        :raises PolicyError: a path does not exist, or a hook may have chosen where it leads
        """
        for path in paths:
            refuse_reserved(path, "the path", filesystem=self._filesystem)
            real, links = resolve(self._filesystem, path)
            if real is not None and any(self.in_tree(link) for link in links) and not self.in_tree(real):
                raise PolicyError(
                    f"policy: {visible(path)!r} goes through a link that a hook may have made: name its real path, if "
                    "you trust it"
                )
            key = "writable" if writable else "expose"
            device = _is_device(path)
            owned = "" if device else "tree" if writable else "caller"
            kind = {"writable": writable and not device, "device": device, "separate": not (writable or device)}
            real = self._view.show(path, reason=key, owned=owned, **kind)
            if real is None:
                raise PolicyError(f"policy: {key}: {visible(path)!r} does not exist")

    def _too_wide(self, path: str) -> bool:
        """Return whether ``path`` contains more than a hook may see, such as a home or a shared directory."""
        real, _ = resolve(self._filesystem, path)
        home, _ = resolve(self._filesystem, self._situation.home)
        trees = (home, self._situation.home, *self._trees)
        hidden = (*(tree for tree in trees if tree is not None), *(p for p, _ in SCRATCH), *_OWN, OPT)
        names = (path, real or path)
        if any(map(_is_device, names)) or any(is_within(name, own) for name in names for own in _OWN):
            return True
        return any(is_within(directory, name) for directory in hidden for name in names)


def _is_device(path: str) -> bool:
    """Return whether a path is the path of a device. /dev/shm contains files, and is often somebody's TMPDIR."""
    return is_within(path, "/dev") and not is_within(path, "/dev/shm")
