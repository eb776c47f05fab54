"""A filesystem made from a dictionary, a host on it, and what a list of operations makes visible of it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isolated_hooks.files.paths import Kind, is_within
from isolated_hooks.hookcall import OUTPUTS, HookCall
from isolated_hooks.plan import Layout, Plan, Situation
from isolated_hooks.plan.planner import plan_hook
from isolated_hooks.policy import Policy
from isolated_hooks.sandbox.operations import Bind, Operation, Scratch, Symlink

LAYOUT = Layout("/ws/scratch", "/ws/control", "/ws/staging", "/ws/empty", "/ws/nothing")
HOME = "/home/u"
SOURCE = "/home/u/code/proj"
CONTROL = "/tmp/control-1"
SCRIPT = "/usr/lib/python3/dist-packages/pyproject_hooks/_in_process/_in_process.py"
PYTHON = "/usr/bin/python3"


@contextlib.contextmanager
def no_hang() -> Iterator[None]:
    """Turn what would hang for ever into a failure; nothing that ends by itself comes near the limit."""

    def give_up(number: int, frame: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclasses.dataclass(frozen=True)
class Link:
    """A symbolic link of the fake."""

    target: str


@dataclasses.dataclass(frozen=True)
class Node:
    """Anything else that is not a regular file: a directory, a device, a FIFO."""

    kind: Kind


DIR = Node("directory")
DEVICE = Node("device")
FIFO = Node("other")
Entry = str | Link | Node


class FakeFilesystem:
    """The filesystem of a dictionary from absolute path to text of a file, :class:`Link` or :class:`Node`.

    The parents of what is named are directories. Links on the way are followed as by the kernel.

    :ivar not_for_all: the paths that not everybody may read
    """

    not_for_all: tuple[str, ...] = ()

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries: dict[str, Entry] = {"/": DIR}
        for path, entry in entries.items():
            parent = os.path.dirname(path)
            while parent not in self.entries:
                self.entries[parent] = DIR
                parent = os.path.dirname(parent)
            self.entries[path] = entry

    def __or__(self, more: Mapping[str, Entry]) -> FakeFilesystem:
        return FakeFilesystem({**self.entries, **more})

    def without(self, *paths: str) -> FakeFilesystem:
        """Return the same without some paths and what is beneath them."""
        kept = {k: v for k, v in self.entries.items() if not any(is_within(k, path) for path in paths)}
        return FakeFilesystem(kept)

    def kind(self, path: str) -> Kind | None:
        entry = self.entries.get(self._walk(path, follow=False) or "")
        if isinstance(entry, Link):
            return "link"
        return entry.kind if isinstance(entry, Node) else None if entry is None else "file"

    def readlink(self, path: str) -> str:
        entry = self.entries.get(self._walk(path, follow=False) or "")
        if not isinstance(entry, Link):
            raise OSError(22, "not a link", path)
        return entry.target

    def names(self, path: str) -> tuple[str, ...]:
        real = self._walk(path)
        if real is None or self.entries[real] != DIR:
            return ()
        return tuple(sorted(os.path.basename(p) for p in self.entries if p != "/" and os.path.dirname(p) == real))

    def text(self, path: str) -> str:
        entry = self.entries.get(self._walk(path) or "")
        return entry[:65536] if isinstance(entry, str) else ""

    def size(self, path: str) -> int:
        entry = self.entries[self._walk(path, follow=False) or ""]
        return len(entry) if isinstance(entry, str) else 0

    def links(self, path: str) -> tuple[tuple[str, str], ...]:
        entries = ((name, self.entries.get(f"{self._walk(path)}/{name}")) for name in self.names(path))
        return tuple((name, entry.target) for name, entry in entries if isinstance(entry, Link))

    def links_near(self, path: str, limit: int) -> tuple[str, ...]:
        return tuple(p for p, e in self.entries.items() if isinstance(e, Link) and p.startswith(f"{path}/"))[:limit]

    def private_near(self, path: str, limit: int) -> tuple[str, ...]:
        return self.private(path)

    def private(self, path: str) -> tuple[str, ...]:
        return tuple(p for p in self.not_for_all if p.startswith(f"{path}/"))

    def is_private(self, path: str) -> bool:
        return path in self.not_for_all

    def named_near(self, path: str, names: frozenset[str], limit: int) -> tuple[str, ...]:
        named = (p for p in self.entries if p.startswith(f"{path}/") and os.path.basename(p) in names)
        return (*named, *self.private(path))

    def needs_of_programs(self, directory: str, limit: int) -> tuple[str, ...]:
        texts = (self.text(f"{directory}/{name}") for name in self.names(directory)[:limit])
        return tuple(text[2:].split()[0] for text in texts if text.startswith("#!/"))

    def tracked(self, index: str, paths: tuple[str, ...]) -> frozenset[str]:
        lines = self.text(index).split()
        return frozenset(p for p in paths if any(is_within(f"/{line}", f"/{p}") for line in lines))

    def real(self, path: str) -> str | None:
        """Return the path without links, as realpath(3) would."""
        return self._walk(path)

    def _walk(self, path: str, *, follow: bool = True) -> str | None:
        done, todo, links = "/", [p for p in path.split("/") if p not in ("", ".")], 0
        while todo:
            part = todo.pop(0)
            if self.entries.get(done) != DIR:
                return None
            if part == "..":
                done = os.path.dirname(done)
                continue
            here = os.path.join(done, part)
            entry = self.entries.get(here)
            if entry is None:
                return None
            if not isinstance(entry, Link) or (not todo and not follow):
                done = here
                continue
            links += 1
            if links > 40:
                return None
            done = "/" if entry.target.startswith("/") else done
            todo[:0] = [p for p in entry.target.split("/") if p not in ("", ".")]
        return done


#: What must never be visible: contents are the path, so that a test can also look for the text.
SECRETS = (
    "/etc/pip.conf /etc/gitconfig /etc/passwd /etc/group /etc/shadow /etc/machine-id /etc/ssh/ssh_host_rsa_key "
    "/etc/krb5.keytab /etc/sudoers /etc/ssl/private/server.pem /etc/ssl/certs/server.key /etc/ssl/certs/own-key.pem "
    "/etc/pki/tls/private/server.pem /etc/pki/tls/certs/ca.p12 /etc/xdg/pip/pip.conf /etc/environment /etc/hosts.equiv "
    "/etc/cron.d/job /etc/profile.d/token.sh /home/u/.netrc /home/u/.ssh/id_rsa /home/u/.aws/credentials "
    "/home/u/.config/pip/pip.conf /home/u/.local/share/keyrings/login /home/u/.local/share/uv/credentials/c "
    "/home/u/.local/lib/secret /home/u/.cargo/credentials.toml /home/u/.bash_history /home/u/code/other/secret "
    "/home/u/code/.env /home/other/.netrc /root/.netrc /tmp/krb5cc_0 /tmp/other/secret /var/tmp/other "
    "/run/secrets/token /run/user/1000/bus /dev/shm/object /dev/vda /dev/kvm /var/lib/secret /sys/kernel/x "
    "/proc/1/environ"
).split()

_SYSTEM_FILES = (
    "/usr/bin/python3.12 /usr/bin/gcc /usr/lib/python3.12/os.py /usr/lib/x86_64-linux-gnu/libc.so.6 "
    "/usr/include/stdio.h /usr/share/doc/x /usr/local/bin/tool /opt/cuda/bin/nvcc /etc/ld.so.cache /etc/localtime "
    "/etc/ssl/openssl.cnf /etc/ssl/certs/ca.pem /etc/alternatives/cc /etc/os-release /etc/resolv.conf /etc/hosts "
    "/etc/nsswitch.conf /sys/devices/system/cpu/online"
).split()


def host(more: Mapping[str, Entry] | None = None) -> FakeFilesystem:
    """Return a host as Debian's, with secrets everywhere, a source tree and what pyproject_hooks brings."""
    entries: dict[str, Entry] = {path: f"content of {path}" for path in (*SECRETS, *_SYSTEM_FILES)}
    entries |= {f"/dev/{name}": DEVICE for name in "null zero full random urandom tty vda kvm".split()}
    entries |= {f"/{name}": Link(f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64")}
    entries |= dict.fromkeys(("/usr/sbin", "/usr/lib64", "/tmp", "/var/tmp", "/dev/shm", "/home/u/bin", CONTROL), DIR)
    entries |= {PYTHON: Link("python3.12"), SCRIPT: "", f"{SOURCE}/setup.py": "", f"{SOURCE}/dist": DIR}
    entries |= dict.fromkeys((LAYOUT.scratch, LAYOUT.control, LAYOUT.staging, LAYOUT.empty), DIR) | {LAYOUT.nothing: ""}
    return FakeFilesystem({**entries, **(more or {})})


def situation(filesystem: FakeFilesystem | None = None, **changes: Any) -> Situation:
    """Return what a planner has to know, of an ordinary user of :func:`host`."""
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": HOME}
    values: dict[str, Any] = {"home": HOME, "environ": environ, "started_with": environ, "owners": None, **changes}
    return Situation(filesystem=host() if filesystem is None else filesystem, **values)


def hook_call(hook: str = "build_wheel", **changes: Any) -> HookCall:
    """Return a hook call, with ``dist`` in the source tree as its output directory where it has one."""
    kwargs = {OUTPUTS[hook]: f"{changes.get('source_dir', SOURCE)}/dist"} if hook in OUTPUTS else {}
    values = {"python": PYTHON, "script": SCRIPT, "control_dir": CONTROL, "source_dir": SOURCE, "kwargs": kwargs}
    return HookCall(**{**values, "hook": hook, **changes})


def make_plan(
    filesystem: FakeFilesystem | None = None,
    *,
    call: HookCall | None = None,
    policy: Policy | None = None,
    extra: Mapping[str, str] | None = None,
    **changes: Any,
) -> Plan:
    """Return the plan of a call; what is left out is as usual. ``path`` is short for an environment with this PATH."""
    if "path" in changes:
        changes["environ"] = {"PATH": changes.pop("path"), "HOME": HOME}
    where = situation(filesystem, **changes)
    return plan_hook(hook_call() if call is None else call, policy or Policy(), where, LAYOUT, extra or {})


class Shown:
    """What operations make visible: the mounts as the kernel stacks them, the last and deepest one on top."""

    def __init__(self, operations: Sequence[Operation], filesystem: FakeFilesystem) -> None:
        self.filesystem = filesystem
        self.operations = tuple(operations)
        self.mounts: dict[str, Operation] = {}
        for operation in operations:
            targets = [path for path, _ in operation.targets] if isinstance(operation, Scratch) else [operation.target]
            for target in targets:
                # A mount hides what was mounted beneath its target before.
                hidden = [t for t in self.mounts if is_within(t, target) and not isinstance(operation, Symlink)]
                for path in hidden:
                    del self.mounts[path]
                self.mounts[target] = operation

    def at(self, path: str) -> Operation | None:
        """Return the operation that decides what is at a path, ``None`` where that is the empty root itself."""
        above = [target for target in self.mounts if is_within(path, target)]
        return self.mounts[max(above, key=len)] if above else None

    def origin(self, path: str) -> str | None:
        """Return the host's path that is visible at a path, ``None`` where nothing of the host is."""
        mount = self.at(path)
        if not isinstance(mount, Bind):
            return None
        found = mount.source + path[len(mount.target) :]
        return found if self.filesystem.kind(found) is not None else None

    def writable(self, path: str) -> bool:
        """Say whether what is visible of the host at a path can be written to."""
        mount = self.at(path)
        return isinstance(mount, Bind) and mount.writable and self.origin(path) is not None

    def reveals(self, host_path: str) -> list[str]:
        """Return every place at which a path of the host is visible."""
        places = (b.target + host_path[len(b.source) :] for b in self._binds() if is_within(host_path, b.source))
        return [place for place in places if self.origin(place) == host_path]

    def secrets(self) -> list[str]:
        """Return which of :data:`SECRETS` are visible."""
        return [path for path in SECRETS if self.filesystem.kind(path) and self.reveals(path)]

    def _binds(self) -> Iterator[Bind]:
        return (operation for operation in self.mounts.values() if isinstance(operation, Bind))


def shown(plan: Plan, filesystem: FakeFilesystem | None = None) -> Shown:
    """Return what a plan makes visible."""
    return Shown(plan.operations, host() if filesystem is None else filesystem)
