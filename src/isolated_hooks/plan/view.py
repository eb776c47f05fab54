"""A hook's view of the filesystem. It starts empty and gains the paths that the hook needs, each where it is outside.

The module is pure: it asks about the filesystem only through :class:`~isolated_hooks.files.paths.Filesystem`. A path
may contain links. We create each link again inside and show the real path. So every name that works outside works
inside too, and no target of a mount contains a link.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from ..errors import PolicyError
from ..files.paths import Filesystem, above, is_within, resolve
from ..files.spelling import normal
from ..sandbox.landlock import DEVICE, LIST, OF_SOCKETS, READ, WRITE
from ..sandbox.operations import Bind, Cover, Hold, Kept, Masked, Operation, Overlay, Scratch, Symlink
from ..text import visible
from .toolchains import CREDENTIAL_NAMES, CREDENTIAL_PATHS, SHARED_NAMES

__all__ = ["HOME", "SCRATCH", "USER", "View"]

USER = "sandbox"
HOME = f"/{USER}"
#: The writable directories that each sandbox has for itself alone, with their modes.
SCRATCH = (
    ("/tmp", 0o1777),
    ("/var/tmp", 0o1777),
    ("/run", 0o755),
    ("/dev/shm", 0o1777),
    (HOME, 0o700),
    (OF_SOCKETS.decode(), 0o700),
)

# The prefixes of the system, in which site-wide configuration lies, as the pip.conf of a Python in /usr/local.
_PREFIXES = ("/usr", "/usr/local")
# The names that hold credentials outside of an etc.
_CREDENTIAL_NAMES = CREDENTIAL_NAMES - SHARED_NAMES
# The number of entries around a hidden path that we show one by one, so that the path stays hidden whatever becomes of
# it. Each costs a mount.
_MOST_AROUND = 256
# Without a mount namespace, the sandbox cannot replace these files of the host, so a hook has to read the host's own.
_UNCONFINED = ("/proc", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf")
# The sandbox has its own version of each of these. Showing the host's would replace it.
_RESERVED = ("/", "/dev", "/etc", "/home", "/proc", "/sys", "/var", *(path for path, _ in SCRATCH))


class View:
    """Collects the paths to show and turns them into operations."""

    def __init__(self, filesystem: Filesystem) -> None:
        self.filesystem = filesystem
        self._binds: dict[str, Bind] = {}
        self._own: dict[str, Operation] = {}
        self._pinned: set[str] = set()
        self._masked: set[str] = set()
        self._copied = ""
        #: Why we show a path, by real path, in a few words.
        self.reasons: dict[str, str] = {}

    def show(
        self,
        path: str,
        *,
        reason: str = "",
        writable: bool = False,
        owned: str = "",
        device: bool = False,
        separate: bool = False,
        along: str = "",
    ) -> str | None:
        """Show ``path`` and the links that lead to it. Return its real path, or ``None`` if it does not exist.

        :param reason: why, in a few words, for ``explain``
        """
        real = self.place(path)
        if real is not None:
            traits = {"writable": writable, "device": device, "separate": separate, "along": along}
            self._bind(Bind(real, real, owned=owned, **traits), reason)
        return real

    def pin(self, path: str, beneath: str, *, writable: bool) -> None:
        """Make the directories between ``beneath`` and ``path`` (real paths) mount points, which nobody can rename.

        The hook may write to the directory around a bind mount. If it could move a parent of the mount point away, the
        bind mount would protect nothing in a later call. A mount point itself cannot be renamed or removed in its mount
        namespace, rename(2), EBUSY. A pin never makes writable what is shown read-only.
        """
        for parent in _parents(path, beneath):
            nearest = self._nearest(above(parent))
            if parent not in self._binds:
                allowed = nearest is None or nearest.writable
                self._bind(self._pin_of(parent, nearest, writable and allowed), "keeps what is beneath it in its place")
            self._pinned.add(parent)

    def fix(self, path: str) -> None:
        """Keep a directory that we show (a real path) a mount point, even if the one around it shows the same."""
        if path in self._binds:
            self._pinned.add(path)

    def _pin_of(self, path: str, above: Bind | None, writable: bool) -> Bind:
        """Return a mount of a directory on itself, as it is in the view."""
        if isinstance(above, (Overlay, Kept)):
            return Kept(path, path, writable=writable, owned="tree")
        if above is not None and above.target == self._copied:
            return Bind(above.source + path[len(above.target) :], path, writable=writable, owned="caller")
        return Bind(path, path, writable=writable, owned="tree")

    def discard(self, path: str, *, overlay: str = "", copy: str = "") -> None:
        """Show a directory of which the hook may change all, and nothing stays: through an overlay, or as a copy.

        :param path: a path of the source tree
        :param overlay: the directory for the changes of an overlay
        :param copy: a copy of the directory
        """
        real = self.place(path)
        if real is None:
            return
        reason = "the source tree, whose changes are discarded"
        if overlay:
            self._bind(Overlay(real, real, above=overlay, owned="tree"), reason)
        else:
            self._copied = real
            self._bind(Bind(copy, real, writable=True, owned="caller"), reason)

    def stage(self, source: str, target: str, *, reason: str = "", writable: bool, owned: str = "caller") -> None:
        """Show ``source``, a path in the workspace, as ``target``, a path without links."""
        self._bind(Bind(source, target, writable=writable, owned=owned), reason)

    def place(self, path: str) -> str | None:
        """Create the links that lead to ``path`` and return its real path, or ``None`` if it does not exist."""
        real, links = resolve(self.filesystem, path)
        if real is not None:
            for link, target in links.items():
                self._own.setdefault(link, Symlink(link, target))
        return real

    def add(self, operation: Operation) -> None:
        """Add an operation for something that belongs to the sandbox."""
        self._own[operation.target] = operation

    def shown(self) -> list[str]:
        """Return the paths that we show."""
        return list(self._binds)

    def covers(self, path: str) -> bool:
        """Return whether ``path`` is already visible."""
        return _covered(path, self._binds)

    def _nearest(self, directories: Iterable[str]) -> Bind | None:
        """Return what we show at the first of some directories that is shown."""
        return next((self._binds[directory] for directory in directories if directory in self._binds), None)

    def shows(self, path: str) -> bool:
        """Return whether we show ``path`` itself, and not only a directory above it."""
        return path in self._binds

    def _bind(self, bind: Bind, reason: str) -> None:
        earlier = self._binds.get(bind.target)
        if earlier is None or bind.writable or not earlier.writable:
            self._binds[bind.target] = bind
            self.reasons[bind.target] = reason

    def mask(self, path: str, content: str) -> None:
        """Show other content in the place of a file, a real path that is visible."""
        self._own[path] = Masked(path, content)

    def hold(self, path: str) -> None:
        """Keep the hook from replacing a symbolic link."""
        self._own[path] = Hold(path)

    def hide(self, path: str, *, empty: str, nothing: str) -> None:
        """Remove a path, and all beneath it, from the view, and keep it out whatever is made there later.

        If a directory above it is shown read-only, show the other entries of that directory instead, one by one. In a
        writable directory, or beside too many entries, we can only cover what exists now.

        :param empty: an empty directory to cover directories with
        :param nothing: an empty file to cover files with
        """
        real, _ = resolve(self.filesystem, path)
        targets = {path, real or _future(self.filesystem, path)}
        for target in targets:
            self._binds = {t: b for t, b in self._binds.items() if not is_within(t, target)}
            self._own = {t: o for t, o in self._own.items() if not is_within(t, target)}
        for target in targets:
            self._leave_out(target)
        if real is not None and self.covers(real):
            self.cover(real, empty=empty, nothing=nothing)

    def _leave_out(self, path: str) -> None:
        """Replace the read-only bind mount above a path by bind mounts of all that is beside the path."""
        bind = self._nearest(above(path))
        if bind is None or bind.writable or bind.device or bind.source != bind.target or bind.target in self._pinned:
            return
        around = list(self._around(bind.target, path))
        if len(around) > _MOST_AROUND:
            return
        del self._binds[bind.target]
        reason = self.reasons.get(bind.target, "")
        for entry in around:
            if self.filesystem.kind(entry) == "link":
                self.place(entry)
            elif not self.shows(entry):
                self._bind(Bind(entry, entry, owned=bind.owned), reason)

    def _around(self, top: str, path: str) -> Iterator[str]:
        """Yield the entries beside a path, in each directory between ``top`` and the path."""
        while path != top:
            parent, name = os.path.split(path)
            for other in self.filesystem.names(parent):
                if other != name:
                    yield f"{parent}/{other}"
            path = parent

    def cover(self, path: str, *, empty: str, nothing: str) -> None:
        """Put an empty file or directory over a real path, but not over other paths that are shown beneath it."""
        if self.shows(path):
            return
        if any(is_within(target, path) for target in self._binds):
            for name in self.filesystem.names(path):
                self.cover(f"{path}/{name}", empty=empty, nothing=nothing)
        else:
            source = empty if self.filesystem.kind(path) == "directory" else nothing
            self._own[path] = Cover(source, path)

    def mask_credentials(self, tops: Iterable[str], *, empty: str, nothing: str) -> None:
        """Cover configuration with credentials in the prefixes of the system and in other directories.

        :param tops: the others; for a prefix that we do not show as a whole, we look into its ``etc``
        """
        prefixes = [os.path.dirname(t) for t in self._binds if t.endswith("/etc") and t != "/etc"]
        for top in dict.fromkeys((*_PREFIXES, *tops, *prefixes)):
            real, _ = resolve(self.filesystem, top)
            if real is None:
                continue
            paths = [f"{real}/{name}" for name in self.filesystem.names(real) if name in _CREDENTIAL_NAMES]
            paths += [f"{real}/etc/{name}" for name in self.filesystem.names(f"{real}/etc") if name in CREDENTIAL_NAMES]
            paths += [path for name in CREDENTIAL_PATHS if self.filesystem.kind(path := f"{real}/{name}") is not None]
            for path in paths:
                if self.covers(path):
                    self._masked.add(path)
                    self.cover(path, empty=empty, nothing=nothing)

    def mask_private(self, tops: Iterable[str], limit: int, *, empty: str, nothing: str) -> None:
        """Cover what modes keep from others near the top of some directories, for a hook that is their owner.

        A directory that modes keep from others as a whole, as under a strict umask, says nothing about what is in it.

        :param limit: the number of entries to look at
        """
        for top in tops:
            for path in self.filesystem.private_near(top, limit):
                if self.covers(path):
                    self._masked.add(path)
                    self.cover(path, empty=empty, nothing=nothing)

    def cover_private(self, *, empty: str, nothing: str) -> None:
        """Cover the parts of the system that not everybody may read, for a hook that file modes do not restrict."""
        for path in self._private():
            self.cover(path, empty=empty, nothing=nothing)

    def _private(self) -> Iterator[str]:
        walked: dict[str, tuple[str, ...]] = {}
        for source in [b.source for b in self._binds.values() if _is_system(b)]:
            if not self._is_walked(source, walked):
                walked[source] = self.filesystem.private(source)
                yield from walked[source]

    def _is_walked(self, path: str, walked: Mapping[str, tuple[str, ...]]) -> bool:
        """Return whether the walk of a directory above included this one: no link or private path is on the way."""
        tops = [top for top in above(path) if top in walked]
        skipped = (private for top in tops for private in walked[top])
        return (
            bool(tops)
            and resolve(self.filesystem, path)[0] == path
            and not any(is_within(path, private) for private in skipped)
        )

    def read_only_roots(self) -> tuple[str, ...]:
        """Return the paths that are shown read-only, and the links that lead to them."""
        links = (target for target, operation in self._own.items() if isinstance(operation, Symlink))
        return (*(t for t, bind in self._binds.items() if not bind.writable and not bind.device), *links)

    def rules(self, *, private: bool) -> tuple[tuple[str, int], ...]:
        """Return Landlock's rules for a hook without a mount namespace: the paths on the host that it may open.

        :param private: let the hook read the parts of the system that not everybody may read
        """
        kinds = {path: READ for name in _UNCONFINED if (path := resolve(self.filesystem, name)[0]) is not None}
        hidden = self._masked | (set() if private else set(self._private()))
        for bind in self._binds.values():
            kind = DEVICE if bind.device else WRITE if bind.writable else READ
            rules = self._rules_around(bind.source, hidden) if _is_system(bind) else [(bind.source, kind)]
            for path, access in rules:
                kinds[path] = max(access, kinds.get(path, LIST))
        return tuple(sorted(kinds.items()))

    def _rules_around(self, path: str, hidden: set[str]) -> Iterator[tuple[str, int]]:
        """Yield rules for everything beneath ``path`` that is not hidden.

        A rule of Landlock can only allow, and always allows everything beneath its path.
        """
        beneath = {h for h in hidden if is_within(h, path)}
        if path in beneath:
            return
        yield path, LIST if beneath else READ
        if beneath:
            for name in self.filesystem.names(path):
                entry = f"{path}/{name}"
                if self.filesystem.kind(entry) != "link":  # a rule applies to a file, not to a name that leads to it
                    yield from self._rules_around(entry, beneath)

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations in an order in which each finds its parents: paths nearer to the root come first."""
        scratch = [self._without_links(o) for o in self._own.values() if isinstance(o, Scratch)]
        binds = {target: bind for target, bind in self._binds.items() if not self._redundant(bind)}
        over = (Bind, Hold, Masked)
        own = {t: o for t, o in self._own.items() if isinstance(o, over) or not _covered(t, binds)}
        others = {**binds, **{t: o for t, o in own.items() if not isinstance(o, Scratch)}}
        ordered = sorted(others.items(), key=lambda item: (item[0].count("/"), item[0]))
        return (*scratch, *(operation for _, operation in ordered))

    def _without_links(self, scratch: Scratch) -> Scratch:
        """Resolve the links of this host in each target, such as /var/tmp to /tmp, and drop duplicates."""
        targets: dict[str, int] = {}
        for path, mode in scratch.targets:
            targets.setdefault(self._behind_links(path), mode)
        return Scratch(scratch.target, tuple(targets.items()), scratch.size, scratch.inodes)

    def _behind_links(self, path: str) -> str:
        """Resolve ``path`` through the links that we create inside."""
        links = {name: o.destination for name, o in self._own.items() if isinstance(o, Symlink)}
        for _ in links:
            link = next((name for name in links if is_within(path, name)), None)
            if link is None:
                break
            path = normal(os.path.join(os.path.dirname(link), links[link])) + path[len(link) :]
        return path

    def _redundant(self, bind: Bind) -> bool:
        """Return whether the nearest bind mount above shows exactly the same."""
        if bind.target in self._pinned:
            return False
        directories = above(bind.target)
        next(directories)  # its own
        nearest = self._nearest(directories)
        if nearest is None:
            return False
        same = (nearest.writable, nearest.owned, nearest.device) == (bind.writable, bind.owned, bind.device)
        same = same and nearest.separate >= bind.separate
        return same and bind.source == bind.target and nearest.source == nearest.target


def _is_system(bind: Bind) -> bool:
    """Return whether a bind mount shows a part of the system, where file modes decide who may read."""
    return not (bind.owned or bind.writable or bind.device)


def _future(filesystem: Filesystem, path: str) -> str:
    """Return where a path that does not exist will be, once somebody makes it."""
    parent, name = os.path.split(path)
    real, _ = resolve(filesystem, parent)
    return path if parent == path else f"{(real or _future(filesystem, parent)).rstrip('/')}/{name}"


def _parents(path: str, beneath: str) -> Iterator[str]:
    """Yield the directories between two real paths, without either of them."""
    parent = os.path.dirname(path)
    while is_within(parent, beneath) and parent != beneath:
        yield parent
        parent = os.path.dirname(parent)


def _covered(path: str, binds: Mapping[str, Bind]) -> bool:
    return any(directory in binds for directory in above(path))


def refuse_reserved(path: str, what: str, *, filesystem: Filesystem) -> None:
    """Raise PolicyError if showing ``path`` would replace one of the sandbox's own directories.

    :param path: an absolute path
    :param what: the words for the path in the error, such as "the source tree"
    """
    real, _ = resolve(filesystem, path)
    reserved = {*_RESERVED, *(resolve(filesystem, directory)[0] for directory in _RESERVED)}
    for candidate in {path, real or path}:
        if candidate in reserved or is_within(candidate, "/proc") or is_within(candidate, "/sys"):
            raise PolicyError(
                f"{what} {visible(path)!r} cannot be shown in the sandbox, which has its own {visible(candidate)}: "
                "choose a directory beneath it"
            )
