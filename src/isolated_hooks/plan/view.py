"""What a hook sees: from nothing, each path that it needs, at the same place as outside.

Pure: the filesystem is asked through :class:`~isolated_hooks.files.paths.Filesystem`. A path may lead over links; each
link is made again inside and the real path is shown, so every name works inside that works outside, and the target of
every mount is free of links.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from ..errors import PolicyError
from ..files.paths import Filesystem, is_within, resolve
from ..sandbox.landlock import DEVICE, LIST, READ, WRITE
from ..sandbox.operations import Accounts, Bind, Cover, Devpts, File, Operation, Proc, Scratch, Symlink
from ..text import visible

__all__ = ["HOME", "SCRATCH", "USER", "View"]

USER = "sandbox"
HOME = f"/{USER}"
#: The writable directories that every sandbox has to itself, with their modes.
SCRATCH = (("/tmp", 0o1777), ("/var/tmp", 0o1777), ("/run", 0o755), ("/dev/shm", 0o1777), (HOME, 0o700))

_SYSTEM = "/usr /bin /sbin /lib /lib32 /lib64 /libx32 /opt /nix/store /gnu/store".split()
# Of /etc, what compilers, linkers, TLS clients, fonts, locales and time zones read. No accounts, no client or server
# configuration (pip.conf, gitconfig and the like carry passwords), no private keys.
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
# Every look-up that the files do not answer fails at once; where no name server is named, 127.0.0.1 is tried.
_RESOLVER = "options timeout:1 attempts:1\n"
_HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n"
_ONLINE = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")
# What a hook has to read of the host's own where it cannot be given another.
_UNCONFINED = ("/proc", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf")
# Showing one of these would show what the sandbox has of its own in their place.
_RESERVED = ("/", "/dev", "/etc", "/home", "/proc", "/sys", "/var", *(path for path, _ in SCRATCH))


class View:
    """Collects what is shown, and says it as operations."""

    def __init__(self, filesystem: Filesystem) -> None:
        self._filesystem = filesystem
        self._binds: dict[str, Bind] = {}
        self._own: dict[str, Operation] = {}
        self._pinned: set[str] = set()

    def show(self, path: str, *, writable: bool = False, owned: str = "", device: bool = False) -> str | None:
        """Show ``path``, links on the way included. Return its real path, ``None`` where there is nothing."""
        real = self.place(path)
        if real is not None:
            self._bind(Bind(real, real, writable=writable, owned=owned, device=device))
        return real

    def pin(self, path: str, beneath: str, *, writable: bool) -> None:
        """Keep the directories between ``beneath`` and ``path``, real paths, from being renamed: as mount points.

        A bind on something in a directory that the hook may write to is worth nothing for a later call, if the hook
        can move what it is on away with its parent.
        """
        for parent in _parents(path, beneath):
            self._bind(Bind(parent, parent, writable=writable, owned="tree"))
            self._pinned.add(parent)

    def stage(self, source: str, target: str, *, writable: bool, owned: str = "caller") -> None:
        """Show ``source`` of the workspace as ``target``, a path without links."""
        self._bind(Bind(source, target, writable=writable, owned=owned))

    def place(self, path: str) -> str | None:
        """Return the real path of ``path``, making the links that lead to it."""
        real, links = resolve(self._filesystem, path)
        if real is not None:
            for link, target in links.items():
                self._own.setdefault(link, Symlink(link, target))
        return real

    def add(self, operation: Operation) -> None:
        """Add something of the sandbox's own."""
        self._own[operation.target] = operation

    def covers(self, path: str) -> bool:
        """Say whether ``path`` is visible already."""
        return any(is_within(path, target) for target in self._binds)

    def shows(self, path: str) -> bool:
        """Say whether ``path`` itself was shown, not just something above it."""
        return path in self._binds

    def base(self, *, network: bool, size: int, inodes: int, without: Iterable[str] = ()) -> None:
        """Show the system, and give the sandbox its own /etc, /dev, /proc and writable directories.

        :param without: what is not to be shown with it, such as a home directory that lies in /opt
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
        # What git, pip and others look for beside their own configuration is theirs, not the host's.
        if network:
            for path in _ONLINE:
                self.show(path)
        else:
            for path, content in zip(_ONLINE, (_RESOLVER, _HOSTS, _NSSWITCH), strict=True):
                self.add(File(path, content))
        self._devices()
        # What counts processors: glibc, Python, ninja and cargo read no more of /sys than this.
        self.show("/sys/devices/system/cpu")

    def _show_around(self, path: str, hidden: set[str]) -> None:
        """Show ``path``, or all in it that does not lead to what is hidden."""
        real = self.place(path)
        if real is None or real in hidden:
            return
        if not any(is_within(h, real) for h in hidden):
            self.show(path)
            return
        for name in self._filesystem.names(real):
            self._show_around(f"{real.rstrip('/')}/{name}", hidden)

    def _devices(self) -> None:
        # Read-only: a device can be written to all the same, but not get another mode, which a hook that
        # holds CAP_FOWNER over the caller's ids otherwise could, on the host.
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
        """Take a path out again: what is shown beneath it goes; within something shown an empty one takes its place.

        :param empty, nothing: an empty directory and an empty file
        """
        real, _ = resolve(self._filesystem, path)
        for target in {path, real or path}:
            self._binds = {t: b for t, b in self._binds.items() if not is_within(t, target)}
            self._own = {t: o for t, o in self._own.items() if not is_within(t, target)}
        if real is not None and self.covers(real):
            self.cover(real, empty=empty, nothing=nothing)

    def cover(self, path: str, *, empty: str, nothing: str) -> None:
        """Put something empty over a file or directory, by its real path, but not over what else is shown in there."""
        if self.shows(path):
            return
        if any(is_within(target, path) for target in self._binds):
            for name in self._filesystem.names(path):
                self.cover(f"{path}/{name}", empty=empty, nothing=nothing)
        else:
            source = empty if self._filesystem.kind(path) == "directory" else nothing
            self._own[path] = Cover(source, path)

    def cover_private(self, *, empty: str, nothing: str) -> None:
        """Cover what not everybody may read of the system, for a hook that modes do not keep out."""
        for path in self._private():
            self.cover(path, empty=empty, nothing=nothing)

    def _private(self) -> Iterator[str]:
        walked: dict[str, tuple[str, ...]] = {}
        for source in [b.source for b in self._binds.values() if _is_system(b)]:
            if not self._is_walked(source, walked):
                walked[source] = self._filesystem.private(source)
                yield from walked[source]

    def _is_walked(self, path: str, walked: Mapping[str, tuple[str, ...]]) -> bool:
        """Say whether a directory was walked with one above it: no link and nothing private is on the way."""
        above = [top for top in walked if is_within(path, top)]
        private = (found for top in above for found in walked[top])
        return (
            bool(above)
            and resolve(self._filesystem, path)[0] == path
            and not any(is_within(path, found) for found in private)
        )

    def read_only_roots(self) -> tuple[str, ...]:
        """Return what is shown read-only, the links that lead to it included."""
        links = (target for target, operation in self._own.items() if isinstance(operation, Symlink))
        return (*(t for t, bind in self._binds.items() if not bind.writable and not bind.device), *links)

    def rules(self, *, private: bool) -> tuple[tuple[str, int], ...]:
        """Return what may be opened where there is no mount namespace, as Landlock takes it: at its own place.

        :param private: what not everybody may read of the system is the hook's to read
        """
        kinds = {path: READ for name in _UNCONFINED if (path := resolve(self._filesystem, name)[0]) is not None}
        hidden = set() if private else set(self._private())
        for bind in self._binds.values():
            kind = DEVICE if bind.device else WRITE if bind.writable else READ
            rules = self._rules_around(bind.source, hidden) if _is_system(bind) else [(bind.source, kind)]
            for path, found in rules:
                kinds[path] = max(found, kinds.get(path, LIST))
        return tuple(sorted(kinds.items()))

    def _rules_around(self, path: str, hidden: set[str]) -> Iterator[tuple[str, int]]:
        """Yield rules for all beneath ``path`` but what is hidden: Landlock can only allow, and does so downwards."""
        beneath = {h for h in hidden if is_within(h, path)}
        if path in beneath:
            return
        yield path, LIST if beneath else READ
        if beneath:
            for name in self._filesystem.names(path):
                entry = f"{path}/{name}"
                if self._filesystem.kind(entry) != "link":  # a rule is for what is there, not for names
                    yield from self._rules_around(entry, beneath)

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations in an order in which each finds its parents: what is nearer the root comes first."""
        scratch = [self._without_links(o) for o in self._own.values() if isinstance(o, Scratch)]
        binds = {target: bind for target, bind in self._binds.items() if not self._redundant(bind)}
        own = {t: o for t, o in self._own.items() if isinstance(o, Bind) or not _covered(t, binds)}
        rest = {**binds, **{t: o for t, o in own.items() if not isinstance(o, Scratch)}}
        ordered = sorted(rest.items(), key=lambda item: (item[0].count("/"), item[0]))
        return (*scratch, *(operation for _, operation in ordered))

    def _without_links(self, scratch: Scratch) -> Scratch:
        """Have each directory where its name leads on this host, such as /var/tmp to /tmp, and none of them twice."""
        targets: dict[str, int] = {}
        for path, mode in scratch.targets:
            targets.setdefault(self._behind_links(path), mode)
        return Scratch(scratch.target, tuple(targets.items()), scratch.size, scratch.inodes)

    def _behind_links(self, path: str) -> str:
        """Return where ``path`` is, given the links that are made."""
        links = {name: o.destination for name, o in self._own.items() if isinstance(o, Symlink)}
        for _ in links:
            link = next((name for name in links if is_within(path, name)), None)
            if link is None:
                break
            path = os.path.normpath(os.path.join(os.path.dirname(link), links[link])) + path[len(link) :]
        return path

    def _redundant(self, bind: Bind) -> bool:
        """Say whether the nearest bind above shows just the same."""
        if bind.target in self._pinned:
            return False
        above = [t for t in self._binds if t != bind.target and is_within(bind.target, t)]
        if not above:
            return False
        nearest = self._binds[max(above, key=len)]
        same = (nearest.writable, nearest.owned, nearest.device) == (bind.writable, bind.owned, bind.device)
        return same and bind.source == bind.target and nearest.source == nearest.target


def _is_system(bind: Bind) -> bool:
    """Say whether a bind shows what belongs to the system, where modes say who may read what."""
    return not (bind.owned or bind.writable or bind.device)


def _parents(path: str, beneath: str) -> Iterator[str]:
    """Yield the directories between two real paths, neither of them included."""
    parent = os.path.dirname(path)
    while is_within(parent, beneath) and parent != beneath:
        yield parent
        parent = os.path.dirname(parent)


def _covered(path: str, binds: Iterable[str]) -> bool:
    return any(is_within(path, target) for target in binds)


def refuse_reserved(path: str, what: str, *, filesystem: Filesystem) -> None:
    """Raise PolicyError where showing ``path`` would undo what the sandbox has of its own there."""
    real, _ = resolve(filesystem, path)
    reserved = {*_RESERVED, *(resolve(filesystem, place)[0] for place in _RESERVED)}
    for candidate in {path, real or path}:
        if candidate in reserved or is_within(candidate, "/proc") or is_within(candidate, "/sys"):
            raise PolicyError(
                f"{what} {visible(path)!r} cannot be shown in the sandbox, which has its own {visible(candidate)}: "
                "use a directory of its own beneath it"
            )
