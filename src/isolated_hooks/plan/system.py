"""The part of the view that every hook has: the system, and the sandbox's own /etc, /dev, /proc and directories."""

from __future__ import annotations

from collections.abc import Iterable

from ..files.cgroups import Hierarchy
from ..files.paths import is_within, resolve
from ..sandbox.operations import Accounts, Bind, Devpts, File, Limits, Proc, Scratch, Symlink
from .view import HOME, SCRATCH, USER, View

__all__ = ["show_limits", "show_system"]

_SYSTEM = "/usr /bin /sbin /lib /lib32 /lib64 /libx32 /nix/store /gnu/store".split()
# The entries of /etc that compilers, linkers, TLS clients, fonts, locales and time zones need. We show no accounts, no
# configuration of clients or servers (pip.conf, gitconfig and the like contain passwords), and no private keys.
_ETC = """alternatives bash.bashrc binutils ca-certificates ca-certificates.conf crypto-policies debian_version
    fedora-release fonts gai.conf gcrypt host.conf inputrc java-8-openjdk java-11-openjdk java-17-openjdk
    java-21-openjdk java-25-openjdk ld.so.cache ld.so.conf ld.so.conf.d locale.alias locale.conf localtime lsb-release
    magic manpath.config maven/logging maven/m2.conf maven/toolchains.xml mime.types os-release
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
# Without a name server, the resolver asks 127.0.0.1, resolv.conf(5), where sandbox/lookups.py answers. If nobody does,
# it gives up at once.
_RESOLVER = "options timeout:1 attempts:1\n"
_HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n"
_ONLINE = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")


def show_system(view: View, *, network: bool, size: int, inodes: int, without: Iterable[str] = ()) -> None:
    """Show the system, and add the sandbox's own /etc, /dev, /proc and writable directories.

    :param network: show the host's resolver configuration instead of our own
    :param size: the size of the writable directories in bytes
    :param inodes: the number of files in them
    :param without: paths to leave out of the system, such as other source trees
    """
    hidden = {real for path in without if (real := resolve(view.filesystem, path)[0]) is not None}
    for path in _SYSTEM:
        _show_around(view, path, hidden)
    for name in _ETC:
        view.show(f"/etc/{name}", reason="the system")
    _hide_private_keys(view)
    view.add(Scratch("/.scratch", SCRATCH, size, inodes))
    view.add(Proc("/proc"))
    view.add(Accounts("/etc", USER, HOME))
    view.add(File("/etc/hostname", "localhost\n"))
    # git, pip and others read these besides their own configuration. Without the network they get ours.
    if network:
        for path in _ONLINE:
            view.show(path, reason="the caller's network")
    else:
        for path, content in zip(_ONLINE, (_RESOLVER, _HOSTS, _NSSWITCH), strict=True):
            view.add(File(path, content))
    _devices(view)
    # glibc, Python, ninja and cargo count processors there, and read nothing else in /sys.
    view.show("/sys/devices/system/cpu", reason="the system")


def show_limits(view: View, cgroups: Iterable[Hierarchy], memory: int | None) -> None:
    """Show the limits of the caller's own cgroups where there are some, in all hierarchies: the JVM needs them all.

    :param memory: the hook's limit in bytes
    """
    own = [cgroup if memory is None else cgroup.with_memory(memory) for cgroup in cgroups]
    for cgroup in own if any(cgroup.limited for cgroup in own) else ():
        view.add(Limits(cgroup.target, cgroup.source, cgroup.files))


def _show_around(view: View, path: str, hidden: set[str]) -> None:
    """Show ``path`` without the paths in ``hidden``. If one of those lies beneath, show the other entries."""
    real = view.place(path)
    if real is None or real in hidden:
        return
    if not any(is_within(h, real) for h in hidden):
        view.show(path, reason="the system")
        return
    for name in view.filesystem.names(real):
        _show_around(view, f"{real.rstrip('/')}/{name}", hidden)


def _devices(view: View) -> None:
    # The devices are read-only. A hook can still write to them, but cannot change their modes. Otherwise a hook
    # with CAP_FOWNER over the caller's ids could do that, on the host.
    for name in _DEVICES:
        view.show(f"/dev/{name}", reason="the system", device=True)
    for link, target in _DEVICE_LINKS.items():
        view.add(Symlink(link, target))
    view.add(Devpts("/dev/pts"))


def _hide_private_keys(view: View) -> None:
    for directory in [t for t in view.shown() if is_within(t, "/etc")]:
        for name in view.filesystem.names(directory):
            path = f"{directory}/{name}"
            if name.endswith(_PRIVATE_KEY_NAMES) and view.filesystem.kind(path) == "file":
                view.add(Bind("/dev/null", path))
