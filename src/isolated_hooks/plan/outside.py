"""What a call needs from outside the system: the interpreter, programs on search paths, toolchains, exposed paths.

Each path is shown for a reason, which ``explain`` prints.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping

from ..errors import PolicyError
from ..files.paths import above, is_within, resolve
from ..policy import Policy
from ..text import visible
from .interpreter import interpreter_paths, named_bases
from .layouts import layout_of, user_sites
from .named import paths_in
from .plan import Situation
from .prefixes import belonging, holds_secrets, is_prefix, is_project
from .search_path import rustup_home, search_path, tool_paths
from .toolchains import OPT, linked_paths, loader_paths, named_paths, toolchain
from .view import SCRATCH, View, refuse_reserved

__all__ = ["Outside"]

# The sandbox has its own versions of these directories, as of /dev. A search path cannot show the host's there.
_OWN = ("/etc", "/proc", "/sys")
# The links of a directory on PATH that we follow, and the programs into which we look, once for each of its states.
_MOST_LINKS, _MOST_PROGRAMS = 512, 512


class Outside:
    """Shows what one call needs from outside the system.

    :param others: the hook has a uid that is not the caller's, so the modes for others apply to it
    :ivar toolchains: the real paths beneath /opt that we show as a whole
    :ivar programs: the directories of search paths that lie beyond the system
    :ivar defaults: variables for a hook whose frontend sets no others
    :ivar notes: sentences about what is not shown
    :ivar variables: the variables by which programs on ``PATH`` find what they need beyond their directory
    """

    def __init__(
        self, view: View, situation: Situation, policy: Policy, trees: tuple[str, ...], *, others: bool
    ) -> None:
        self._view = view
        self._situation = situation
        self._filesystem = situation.filesystem
        self._policy = policy
        self._trees = trees
        self._others = others
        self.toolchains: list[str] = []
        self.programs: list[str] = []
        self.variables: dict[str, str] = {}
        self.defaults: dict[str, str] = {}
        self.notes: list[str] = []
        home, _ = resolve(self._filesystem, situation.home)
        self._home = home or situation.home
        # What contains one of these contains more than a hook may see.
        self._hidden = {self._home, situation.home, *trees, *(path for path, _ in SCRATCH), *_OWN, OPT}
        self._above_hidden = {d.rstrip("/") for path in self._hidden for d in itertools.islice(above(path), 1, None)}

    def in_tree(self, path: str) -> bool:
        """Return whether the hook may write to the directory of a path, so that a link there may lead anywhere."""
        return any(is_within(path, tree) for tree in (*self._trees, *self._policy.writable))

    def interpreter(self, python: str) -> None:
        """Show an interpreter and everything that it loads, but no base that a build requirement may have named."""
        for path in interpreter_paths(self._filesystem, python, bases=self._situation.trusted):
            self.show(path, "the interpreter")
        for base in named_bases(self._filesystem, python):
            if not self._is_shown(f"{base}/lib"):
                where = visible(base)
                self.notes.append(
                    f"pyvenv.cfg of the environment of {visible(python)!r} names {where!r}, but no link of that "
                    "interpreter leads there, so a build requirement may have written the name; it is not shown; if "
                    f"you trust it: --expose {where}"
                )

    def _is_shown(self, path: str) -> bool:
        """Return whether a hook sees a path, or nothing is there, or the policy exposes it."""
        real, _ = resolve(self._filesystem, path)
        exposed = (resolve(self._filesystem, path)[0] for path in self._policy.expose)
        return real is None or self._view.covers(real) or any(is_within(real, path) for path in exposed if path)

    def show(self, path: str, reason: str, *, owned: str = "caller") -> None:
        """Show a path that the policy does not name, read-only, unless that would show too much.

        The source tree is visible anyway, and we follow no link in it, because a hook may choose its target. If modes
        keep the hook out of a directory, we leave that out too: nothing could be mounted beneath it.
        """
        real, links = resolve(self._filesystem, path)
        if real is None or self.in_tree(real) or any(self.in_tree(link) for link in links) or self._too_wide(path):
            return
        if self._others and not owned and self._filesystem.is_private(real):
            return
        if not self._view.shows(real):
            # What Landlock allows in a directory, it allows in all that is mounted beneath: writing to FIFOs, too.
            beneath = not owned and any(is_within(real, directory) for directory, _ in SCRATCH)
            owned = "" if self._view.covers(real) else owned
            self._view.show(path, reason=reason, owned=owned, separate=beneath)

    def search_paths(self, variables: Mapping[str, str]) -> None:
        """Show the programs on ``PATH``, and what the frontend has put on ``PYTHONPATH``."""
        started_with = search_path(self._situation.started_with.get("PATH", ""))
        for entry in search_path(variables.get("PATH", "")):
            # pip's build environment has a bin directory only if a package in it has programs.
            if self._filesystem.kind(entry) is None and entry in started_with:
                continue
            # An entry that the frontend has added belongs to a build environment. The hook has to read that even if
            # the umask was strict.
            self._program_directory(entry, variables, added=entry not in started_with)
        python_path = variables.get("PYTHONPATH", "")
        if python_path != self._situation.started_with.get("PYTHONPATH"):
            for entry in search_path(python_path):
                self.show(entry, "PYTHONPATH")
        else:
            self._python_path(search_path(python_path))

    def _python_path(self, entries: Iterable[str]) -> None:
        """Show the caller's own modules, as Spack and EasyBuild provide them, but no project and no secret place."""
        kept = []
        exposed = [path for path, _ in (resolve(self._filesystem, path) for path in self._policy.expose) if path]
        for entry in entries:
            real, _ = resolve(self._filesystem, entry)
            if real is None or self.in_tree(real):
                continue
            if not (is_project(self._filesystem, real) or holds_secrets(self._filesystem, real)):
                self.show(entry, "PYTHONPATH", owned="")
            if self._view.covers(real) or any(is_within(real, path) for path in exposed):
                self._view.place(entry)
                kept.append(entry)
            else:
                where = visible(entry)
                self.notes.append(f"PYTHONPATH names {where!r}, which is not shown; to show it: --expose {where}")
        if kept:
            self.defaults["PYTHONPATH"] = ":".join(kept)

    def _program_directory(self, entry: str, variables: Mapping[str, str], *, added: bool) -> None:
        """Show a directory of programs.

        Where somebody else has put the programs, nothing that they name counts: a build requirement, in the environment
        that the frontend has added, or an earlier hook.
        """
        rustup = rustup_home(self._filesystem, entry, variables)
        if rustup is not None:
            self.variables["RUSTUP_HOME"] = rustup
        if not self._view.covers(entry):
            self.programs.append(entry)
        real, _ = resolve(self._filesystem, entry)
        own = not (added or self._is_written(entry))
        if own and real is not None and not self._view.covers(real):  # /bin is a link into the system
            self._layout(entry)
            self._links(entry)
            for path in self._filesystem.needs_of_programs(entry, _MOST_PROGRAMS):
                self._belonging(path, "PATH")
        tools = tool_paths(self._filesystem, entry, self._situation.home, self._selections(), own=own)
        for path in (entry, *tools, *([rustup] if rustup else [])):
            self.show(path, "PATH", owned="caller" if added else "")
        self._toolchain(entry, "PATH")

    def _is_written(self, path: str) -> bool:
        """Return whether a hook may write to a directory, or has chosen where its path leads."""
        real, links = resolve(self._filesystem, path)
        writable = [tree for tree, _ in (resolve(self._filesystem, path) for path in self._policy.writable) if tree]
        return any(self.in_tree(p) or any(is_within(p, t) for t in writable) for p in (path, real or path, *links))

    def _layout(self, entry: str) -> None:
        """Show what the programs of a manager need of its home, and name that home."""
        layout, prefix = layout_of(self._filesystem, entry), os.path.dirname(entry)
        if layout is not None:
            self.variables |= dict.fromkeys(layout.variables, prefix)
            for part in layout.parts:
                self.show(f"{prefix}/{part}", "PATH", owned="")

    def _links(self, entry: str) -> None:
        """Show the programs to which links in a directory on ``PATH`` lead, and what each needs of its own prefix."""
        for name, _ in itertools.islice(self._filesystem.links(entry), _MOST_LINKS):
            self._belonging(f"{entry}/{name}", "PATH")

    def _belonging(self, path: str, reason: str) -> None:
        """Show what a path leads to, with its prefix, and the links on the way."""
        real, links = resolve(self._filesystem, path)
        if real is None or any(self.in_tree(link) for link in links) or self.in_tree(real):
            return
        if self._view.covers(real):
            self._view.place(path)
            return
        for needed in belonging(self._filesystem, real, home=self._home, bases=self._situation.trusted):
            self.show(needed, reason, owned="")
            if self._view.covers(needed):
                self.toolchains.append(needed)
        if self._view.covers(real):
            self._view.place(path)

    def is_prefix(self, real: str) -> bool:
        """Return whether a real path is an installation that a variable may show."""
        secret = holds_secrets(self._filesystem, real) or self._too_wide(real) or self.in_tree(real)
        return not secret and is_prefix(self._filesystem, real, home=self._home)

    def user_site(self, python: str, variables: Mapping[str, str]) -> None:
        """Show what ``pip install --user`` has installed, if programs on ``PATH`` or the interpreter import it."""
        base = variables.get("PYTHONUSERBASE") or f"{self._situation.home}/.local"
        beside = os.path.dirname(os.path.dirname(python)) if python else base
        if f"{base}/bin" not in search_path(variables.get("PATH", "")) and (
            beside == base or self._filesystem.kind(f"{beside}/pyvenv.cfg") is not None
        ):
            return
        for path in user_sites(self._filesystem, base):
            self.show(path, "pip install --user", owned="")
            if self._view.covers(path):
                self.variables["PYTHONUSERBASE"] = base

    def named(self, variables: Mapping[str, str]) -> None:
        """Show what build variables name, read-only, if it is no secret place.

        :param variables: the variables that the hook gets
        """
        for name, value in variables.items():
            for path in paths_in(value):
                self._belonging(path, name)

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
            real = self._view.show(
                path,
                reason=key,
                owned=owned,
                writable=writable and not device,
                device=device,
                separate=not (writable or device),
            )
            if real is None:
                raise PolicyError(f"policy: {key}: {visible(path)!r} does not exist")

    def _too_wide(self, path: str) -> bool:
        """Return whether ``path`` contains more than a hook may see, such as a home or a shared directory."""
        real, _ = resolve(self._filesystem, path)
        names = {path, real or path}
        if any(map(_is_device, names)) or any(is_within(name, own) for name in names for own in _OWN):
            return True
        return any(name in self._hidden or name.rstrip("/") in self._above_hidden for name in names)


def _is_device(path: str) -> bool:
    """Return whether a path is the path of a device. /dev/shm contains files, and is often somebody's TMPDIR."""
    return is_within(path, "/dev") and not is_within(path, "/dev/shm")
