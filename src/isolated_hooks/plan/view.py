"""A hook's view of the filesystem. It starts empty and gains the paths that the hook needs, each where it is outside.

The module is pure: it asks about the filesystem only through :class:`~isolated_hooks.files.paths.Filesystem`. A path
may contain links. We create each link again inside and show the real path. So every name that works outside works
inside too, and no target of a mount contains a link.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from ..errors import PolicyError
from ..files.paths import Filesystem, is_within, resolve
from ..sandbox.landlock import DEVICE, LIST, OF_SOCKETS, READ, WRITE
from ..sandbox.operations import Accounts, Bind, Cover, Devpts, File, Operation, Proc, Scratch, Symlink
from ..text import visible

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

_SYSTEM = "/usr /bin /sbin /lib /lib32 /lib64 /libx32 /opt /nix/store /gnu/store".split()
# The entries of /etc that compilers, linkers, TLS clients, fonts, locales and time zones need. We show no accounts, no
# configuration of clients or servers (pip.conf, gitconfig and the like contain passwords), and no private keys.
_ETC = """alternatives bash.bashrc binutils ca-certificates ca-certificates.conf crypto-policies debian_version
    fedora-release fonts gai.conf gcrypt host.conf inputrc java-11-openjdk java-17-openjdk java-21-openjdk ld.so.cache
    ld.so.conf ld.so.conf.d locale.alias locale.conf localtime lsb-release magic manpath.config mime.types os-release
    perl pki/ca-trust pki/java pki/tls/cert.pem pki/tls/certs pki/tls/openssl.cnf pki/tls/ct_log_list.cnf protocols
    python2.7 python3 python3.10 python3.11 python3.12 python3.13 python3.14 redhat-release rpc services
    ssl/cert.pem ssl/certs ssl/ct_log_list.cnf ssl/openssl.cnf system-release terminfo timezone xattr.conf""".split()
_PRIVATE_KEY_NAMES = (".key", "key.pem", ".p12", ".pfx", ".jks")
_DEVICES = "null zero full random urandom tty".split()
_DEVICE_LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/dev/ptmx": "pts/ptmx",
}
# A look-up that the files do not answer fails at once: without a name server, the resolver tries 127.0.0.1.
_RESOLVER = "options timeout:1 attempts:1\n"
_HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n"
_ONLINE = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")
# Without a mount namespace, the sandbox cannot replace these files of the host, so a hook has to read the host's own.
_UNCONFINED = ("/proc", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf")
# The sandbox has its own version of each of these. Showing the host's would replace it.
_RESERVED = ("/", "/dev", "/etc", "/home", "/proc", "/sys", "/var", *(path for path, _ in SCRATCH))


class View:
    """Collects the paths to show and turns them into operations."""

    def __init__(self, filesystem: Filesystem) -> None:
        self._filesystem = filesystem
        self._binds: dict[str, Bind] = {}
        self._own: dict[str, Operation] = {}
        self._pinned: set[str] = set()

    def show(
        self, path: str, *, writable: bool = False, owned: str = "", device: bool = False, separate: bool = False
    ) -> str | None:
        """Show ``path`` and the links that lead to it. Return its real path, or ``None`` if it does not exist."""
        real = self.place(path)
        if real is not None:
            self._bind(Bind(real, real, writable=writable, owned=owned, device=device, separate=separate))
        return real

    def pin(self, path: str, beneath: str, *, writable: bool) -> None:
        """Make the directories between ``beneath`` and ``path`` (real paths) mount points, which nobody can rename.

        The hook may write to the directory around a bind mount. If it could move a parent of the mount point away, the
        bind mount would protect nothing in a later call. A mount point itself cannot be renamed or removed in its mount
        namespace, rename(2), EBUSY. A pin never makes writable what is shown read-only.
        """
        for parent in _parents(path, beneath):
            above = [target for target in self._binds if is_within(parent, target)]
            allowed = not above or self._binds[max(above, key=len)].writable
            if parent not in self._binds:
                self._bind(Bind(parent, parent, writable=writable and allowed, owned="tree"))
            self._pinned.add(parent)

    def stage(self, source: str, target: str, *, writable: bool, owned: str = "caller") -> None:
        """Show ``source``, a path in the workspace, as ``target``, a path without links."""
        self._bind(Bind(source, target, writable=writable, owned=owned))

    def place(self, path: str) -> str | None:
        """Create the links that lead to ``path`` and return its real path, or ``None`` if it does not exist."""
        real, links = resolve(self._filesystem, path)
        if real is not None:
            for link, target in links.items():
                self._own.setdefault(link, Symlink(link, target))
        return real

    def add(self, operation: Operation) -> None:
        """Add an operation for something that belongs to the sandbox."""
        self._own[operation.target] = operation

    def covers(self, path: str) -> bool:
        """Return whether ``path`` is already visible."""
        return any(is_within(path, target) for target in self._binds)

    def shows(self, path: str) -> bool:
        """Return whether we show ``path`` itself, and not only a directory above it."""
        return path in self._binds

    def base(self, *, network: bool, size: int, inodes: int, without: Iterable[str] = ()) -> None:
        """Show the system, and add the sandbox's own /etc, /dev, /proc and writable directories.

        :param network: show the host's resolver configuration instead of our own
        :param size: the size of the writable directories in bytes
        :param inodes: the number of files in them
        :param without: paths to leave out of the system, such as a home directory in /opt
        """
        hidden = {real for path in without if (real := resolve(self._filesystem, path)[0]) is not None}
        for path in _SYSTEM:
            self._show_around(path, hidden)
        for name in _ETC:
            self.show(f"/etc/{name}")
        self._hide_private_keys()
        self.add(Scratch("/.scratch", SCRATCH, size, inodes))
        self.add(Proc("/proc"))
        self.add(Accounts("/etc", USER, HOME))
        self.add(File("/etc/hostname", "localhost\n"))
        # git, pip and others read these besides their own configuration. Without the network they get ours.
        if network:
            for path in _ONLINE:
                self.show(path)
        else:
            for path, content in zip(_ONLINE, (_RESOLVER, _HOSTS, _NSSWITCH), strict=True):
                self.add(File(path, content))
        self._devices()
        # glibc, Python, ninja and cargo count processors there, and read nothing else in /sys.
        self.show("/sys/devices/system/cpu")

    def _show_around(self, path: str, hidden: set[str]) -> None:
        """Show ``path`` without the paths in ``hidden``. If one of those lies beneath, show the other entries."""
        real = self.place(path)
        if real is None or real in hidden:
            return
        if not any(is_within(h, real) for h in hidden):
            self.show(path)
            return
        for name in self._filesystem.names(real):
            self._show_around(f"{real.rstrip('/')}/{name}", hidden)

    def _devices(self) -> None:
        # The devices are read-only. A hook can still write to them, but cannot change their modes. Otherwise a hook
        # with CAP_FOWNER over the caller's ids could do that, on the host.
        for name in _DEVICES:
            self.show(f"/dev/{name}", device=True)
        for link, target in _DEVICE_LINKS.items():
            self.add(Symlink(link, target))
        self.add(Devpts("/dev/pts"))

    def _hide_private_keys(self) -> None:
        for directory in [t for t in self._binds if is_within(t, "/etc")]:
            for name in self._filesystem.names(directory):
                path = f"{directory}/{name}"
                if name.endswith(_PRIVATE_KEY_NAMES) and self._filesystem.kind(path) == "file":
                    self._own[path] = Bind("/dev/null", path)

    def _bind(self, bind: Bind) -> None:
        earlier = self._binds.get(bind.target)
        if earlier is None or bind.writable or not earlier.writable:
            self._binds[bind.target] = bind

    def hide(self, path: str, *, empty: str, nothing: str) -> None:
        """Remove a path, and all beneath it, from the view. If a directory above it is shown, cover the path.

        :param empty: an empty directory to cover directories with
        :param nothing: an empty file to cover files with
        """
        real, _ = resolve(self._filesystem, path)
        for target in {path, real or path}:
            self._binds = {t: b for t, b in self._binds.items() if not is_within(t, target)}
            self._own = {t: o for t, o in self._own.items() if not is_within(t, target)}
        if real is not None and self.covers(real):
            self.cover(real, empty=empty, nothing=nothing)

    def cover(self, path: str, *, empty: str, nothing: str) -> None:
        """Put an empty file or directory over a real path, but not over other paths that are shown beneath it."""
        if self.shows(path):
            return
        if any(is_within(target, path) for target in self._binds):
            for name in self._filesystem.names(path):
                self.cover(f"{path}/{name}", empty=empty, nothing=nothing)
        else:
            source = empty if self._filesystem.kind(path) == "directory" else nothing
            self._own[path] = Cover(source, path)

    def cover_private(self, *, empty: str, nothing: str) -> None:
        """Cover the parts of the system that not everybody may read, for a hook that file modes do not restrict."""
        for path in self._private():
            self.cover(path, empty=empty, nothing=nothing)

    def _private(self) -> Iterator[str]:
        walked: dict[str, tuple[str, ...]] = {}
        for source in [b.source for b in self._binds.values() if _is_system(b)]:
            if not self._is_walked(source, walked):
                walked[source] = self._filesystem.private(source)
                yield from walked[source]

    def _is_walked(self, path: str, walked: Mapping[str, tuple[str, ...]]) -> bool:
        """Return whether the walk of a directory above included this one: no link or private path is on the way."""
        above = [top for top in walked if is_within(path, top)]
        skipped = (private for top in above for private in walked[top])
        return (
            bool(above)
            and resolve(self._filesystem, path)[0] == path
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
        kinds = {path: READ for name in _UNCONFINED if (path := resolve(self._filesystem, name)[0]) is not None}
        hidden = set() if private else set(self._private())
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
            for name in self._filesystem.names(path):
                entry = f"{path}/{name}"
                if self._filesystem.kind(entry) != "link":  # a rule applies to a file, not to a name that leads to it
                    yield from self._rules_around(entry, beneath)

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations in an order in which each finds its parents: paths nearer to the root come first."""
        scratch = [self._without_links(o) for o in self._own.values() if isinstance(o, Scratch)]
        binds = {target: bind for target, bind in self._binds.items() if not self._redundant(bind)}
        own = {t: o for t, o in self._own.items() if isinstance(o, Bind) or not _covered(t, binds)}
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
            path = os.path.normpath(os.path.join(os.path.dirname(link), links[link])) + path[len(link) :]
        return path

    def _redundant(self, bind: Bind) -> bool:
        """Return whether the nearest bind mount above shows exactly the same."""
        if bind.target in self._pinned:
            return False
        above = [t for t in self._binds if t != bind.target and is_within(bind.target, t)]
        if not above:
            return False
        nearest = self._binds[max(above, key=len)]
        same = (nearest.writable, nearest.owned, nearest.device) == (bind.writable, bind.owned, bind.device)
        same = same and nearest.separate >= bind.separate
        return same and bind.source == bind.target and nearest.source == nearest.target


def _is_system(bind: Bind) -> bool:
    """Return whether a bind mount shows a part of the system, where file modes decide who may read."""
    return not (bind.owned or bind.writable or bind.device)


def _parents(path: str, beneath: str) -> Iterator[str]:
    """Yield the directories between two real paths, without either of them."""
    parent = os.path.dirname(path)
    while is_within(parent, beneath) and parent != beneath:
        yield parent
        parent = os.path.dirname(parent)


def _covered(path: str, binds: Iterable[str]) -> bool:
    return any(is_within(path, target) for target in binds)


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
