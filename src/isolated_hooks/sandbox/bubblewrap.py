"""The bubblewrap launcher: the same operations as arguments of bwrap(1), instead of our own namespaces and mounts.

Our code does the rest. Before bwrap, outside: the throw-away uid, the idmapped mounts, the empty keyring and the
environment filter. After bwrap, inside: pid 1, the limits, and a check of bwrap's sandbox before the hook runs.
"""

from __future__ import annotations

import marshal
import os
import sys
from errno import EOPNOTSUPP, EPERM

from . import bubblewrap_guard, identity, privileges, seccomp, syscalls
from .bubblewrap_inside import QUEUES
from .ending import die_with_parent, end_children
from .guard import leave_guard
from .init import Init
from .landlock import OF_SOCKETS
from .launch import Launch, launch
from .operations import (
    Accounts,
    Bind,
    Cover,
    Devpts,
    File,
    Hold,
    Kept,
    Limits,
    Masked,
    Overlay,
    Proc,
    Scratch,
    Symlink,
)

if False:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .operations import Operation
    from .supervisor import Supervisor

_DEV = b"/dev"
#: The shares of writable directories in the size limit, by default 1: bwrap mounts a filesystem for each directory.
_SHARES = {b"/tmp": 6, b"/sandbox": 3, OF_SOCKETS: 0}
_UID = b"%d" % identity.SANDBOX_UID


def main(arguments: list[str]) -> int:
    """Run ``PROGRAM FEATURES WORKSPACE -- COMMAND...`` in a sandbox of the bwrap at ``PROGRAM``. Return its exit code.

    ``FEATURES`` are words with commas between them: ``bind-fd`` if it has ``--bind-fd``, and ``beneath`` if it follows
    no link out of its new root.
    """
    program, features = os.fsencode(arguments[0]), frozenset(arguments[1].split(","))
    return launch(lambda *values: Bubblewrapped(program, features, *values), arguments[2:])


class Bubblewrapped(Launch):
    """One launch of one plan, in namespaces of bubblewrap, which runs between the launcher and pid 1."""

    def __init__(
        self, program: bytes, features: frozenset[str], plan: dict[str, Any], workspace: bytes, alive: int
    ) -> None:
        super().__init__(plan, workspace, alive)
        self.program = program
        self.features = features

    def start(self, operations: list[Operation], argv: list[bytes]) -> int:
        """Let bubblewrap create the namespaces and start pid 1. Return the descriptor for the reports of pid 1."""
        uid = self.take_uid()
        # If somebody kills bwrap, we inherit the processes that it has started.
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        info, write = os.pipe()
        tool = Tool(self.program, self.features, write)
        report = self.fork(lambda report: Wrapped(self.plan, operations, uid, report, tool), argv)
        os.close(write)
        self.outer = os.pidfd_open(self.pid)
        self.follow(pid_of(info))
        return report

    def supervisor(self, report: int) -> Supervisor:
        """Return the supervisor, which stays with pid 1 and with bwrap until both have ended."""
        supervisor = super().supervisor(report)
        supervisor.default_stage = "bubblewrap"
        supervisor.guards.add(self.outer)
        return supervisor

    def end_rest(self) -> None:
        """End the processes that pid 1 could not end, if somebody killed bwrap before it."""
        end_children()


class Tool:
    """The bwrap of this host.

    :ivar program: its path
    :ivar features: the features that it has, see :func:`main`
    :ivar info: the descriptor for its ``--info-fd``
    """

    def __init__(self, program: bytes, features: frozenset[str], info: int) -> None:
        self.program = program
        self.features = features
        self.info = info


class Files:
    """Files in memory that bwrap reads by descriptor. No disk and no argument that others can see contains them."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    def add(self, content: bytes) -> bytes:
        """Return the number of a new descriptor to read ``content`` from."""
        fd = os.memfd_create("isolated-hooks", os.MFD_CLOEXEC)
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        self.fds.append(fd)
        return b"%d" % fd


def arguments(
    plan: dict[str, Any], operations: Sequence[Operation], sources: Mapping[bytes, bytes | int], files: Files
) -> list[bytes]:
    """Return the arguments of bwrap for a plan, without the command.

    :param sources: the paths or descriptors to bind from instead of the operation's own source, by target
    :param files: gets the files that bwrap reads
    """
    options = b"--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup --disable-userns".split()
    options += [] if plan["network"] else [b"--unshare-net"]
    options += [b"--uid", _UID, b"--gid", _UID, b"--hostname", plan["hostname"], b"--cap-drop", b"ALL"]
    for capability in (b"CAP_SETPCAP", b"CAP_SYS_PTRACE"):  # for pid 1 only, see Inside
        options += [b"--cap-add", capability]
    options += b"--clearenv --new-session --die-with-parent --as-pid-1".split()
    program = seccomp.shared_program(syscalls.MACHINE, watches=plan["identity"]["throw_away"])
    options += [b"--seccomp", files.add(program)]
    own_dev = any(isinstance(operation, Devpts) for operation in operations)
    # --dev mounts a new filesystem with links, /dev/pts and devices, so it comes before everything beneath /dev.
    options += [b"--dev", _DEV] if own_dev else []
    options += [b"--mqueue", QUEUES]
    for operation in operations:
        target = operation.at
        if not (own_dev and isinstance(operation, (Devpts, Symlink)) and target.startswith(b"/dev/")):
            options += _OPTIONS[type(operation)](operation, target, sources, files)
    options += [b"--remount-ro", _DEV] if own_dev else []
    return [*options, b"--remount-ro", b"/"]


def _bind(bind: Any, target: bytes, sources: Mapping[bytes, bytes | int], _files: Files) -> list[bytes]:
    option = b"--dev-bind" if bind.device else b"--bind" if bind.writable else b"--ro-bind"
    source = sources.get(target, bind.source)
    return [option + b"-fd", b"%d" % source, target] if isinstance(source, int) else [option, source, target]


def _file(file: Any, target: bytes, _sources: object, files: Files) -> list[bytes]:
    return [b"--perms", b"0644", b"--file", files.add(file.content), target]


def _masked(file: Any, target: bytes, _sources: object, files: Files) -> list[bytes]:
    return [b"--perms", b"0444", b"--ro-bind-data", files.add(file.content), target]


def _accounts(accounts: Any, target: bytes, _sources: object, files: Files) -> list[bytes]:
    options = []
    for name, content in accounts.files(identity.SANDBOX_UID, identity.SANDBOX_UID):
        options += [b"--perms", b"0644", b"--file", files.add(content), b"%b/%b" % (target, name)]
    return options


def _scratch(scratch: Any, _target: bytes, _sources: object, _files: Files) -> list[bytes]:
    options = []
    shares = {path: _SHARES.get(path, 1) for path, _ in scratch.targets}
    for path, mode in scratch.targets:
        size = max(1, scratch.size * shares[path] // sum(shares.values()))
        options += [b"--size", b"%d" % size, b"--perms", b"%04o" % mode, b"--tmpfs", path]
    return options


def _refused(operation: Any, target: bytes, *_: object) -> list[bytes]:
    raise syscalls.SyscallError(EOPNOTSUPP, type(operation).__name__, target)


def _limits(limits: Any, target: bytes, _sources: object, files: Files) -> list[bytes]:
    options = [b"--ro-bind-try", limits.source, target, b"--size", b"262144", b"--perms", b"0755", b"--tmpfs", target]
    for name, content in limits.files:
        options += [b"--perms", b"0444", b"--file", files.add(content), b"%b/%b" % (target, name)]
    return [*options, b"--remount-ro", target]


_OPTIONS: dict[type, Callable[[Any, bytes, Mapping[bytes, bytes | int], Files], list[bytes]]] = {
    Bind: _bind,
    Cover: _bind,
    Overlay: _refused,  # no plan asks this launcher for one: a discarded tree is a copy
    Kept: _refused,
    File: _file,
    Masked: _masked,
    Limits: _limits,
    Hold: lambda *_: [],  # bwrap follows a link at a target; the frontend looks at the link after the hook
    Accounts: _accounts,
    Scratch: _scratch,
    Symlink: lambda link, target, *_: [b"--symlink", link.destination, target],
    # Read-only as a whole: a hook with kuid 0 could write the settings there without any capability.
    Proc: lambda _, target, *__: [b"--proc", target, b"--remount-ro", target],
    Devpts: lambda *_: [],  # only --dev can mount it, and does
}


class Wrapped(Init):
    """The process that the launcher forks instead of pid 1. It takes the identity and becomes bwrap.

    :param uid: the uid of the hook, outside
    """

    def __init__(self, plan: dict[str, Any], operations: list[Operation], uid: int, report: int, tool: Tool) -> None:
        super().__init__(plan, operations, identity.Entered(identity.SANDBOX_UID, {}), b"", report)
        self.uid = uid
        self.tool = tool

    def _work(self, argv: list[bytes], leash: int) -> None:
        self.stage = "starting pid 1"
        # The child of bwrap waits for bwrap before it sets the parent-death signal. If somebody kills bwrap or the
        # launcher in between, nobody else would ever end that child: the guard inherits it.
        leave_guard(leash, end_children)
        self.stage = "identity"
        sources = self._take_identity()
        self.stage = "keyring and terminal"
        self._join_keyring()
        variables = self._environment()
        # Here, because behind the filter the call only seems to set this limit.
        privileges.limit({})
        self.stage = "bubblewrap"
        self.operations = _reachable(self.operations)
        files = Files()
        options = [b"--info-fd", b"%d" % self.tool.info, *arguments(self.plan, self.operations, sources, files)]
        job = {
            "plan": {name: value for name, value in self.plan.items() if name != "environ"},
            "argv": argv,
            "variables": variables,
            "report": self.report,
            "leash": leash,
            "shown": {b.at: _identify(b, sources) for b in self.operations if isinstance(b, Bind)},
        }
        job_fd = files.add(marshal.dumps(job))
        options_fd = files.add(b"".join(option + b"\0" for option in options))
        python = os.path.realpath(os.fsencode(sys.executable))
        script = os.path.join(os.path.dirname(os.fsencode(__file__)), b"__main__.py")
        pid_1 = [python, b"-I", b"-S", script, b"bubblewrap_inside", job_fd]
        command = [self.tool.program, b"--args", options_fd, b"--", *pid_1]
        syscalls.close_on_exec_from(3)
        opened = [source for source in sources.values() if isinstance(source, int)]
        channel = (self.plan["channel"],) if "channel" in self.plan else ()
        for fd in (*files.fds, *opened, *channel, self.tool.info, self.report, leash):
            os.set_inheritable(fd, True)
        die_with_parent(leash)  # a change of credentials has disarmed the signal, prctl(2)
        try:
            os.execve(self.tool.program, command, {})
        except OSError as error:
            raise syscalls.SyscallError(error.errno or 0, "execve", self.tool.program) from error

    def _take_identity(self) -> dict[bytes, bytes | int]:
        """Become the hook's user. Return what to bind from instead of the operation's source, by target."""
        traits = self.plan["identity"]
        spaces = {b"caller": 0, b"tree": 0}
        if not traits["of_root"]:
            if not bubblewrap_guard.enter_user_namespace():
                return self._without_guard()
            return bubblewrap_guard.provide_sources(self.operations, spaces)
        if traits["throw_away"]:
            spaces = identity.single_spaces(self.plan, self.uid)
        # A root that is root only in its user namespace cannot clone trees of its present mount namespace.
        syscalls.unshare(syscalls.CLONE_NEWNS)
        sources = bubblewrap_guard.provide_sources(self.operations, spaces)
        if traits["throw_away"]:
            identity.become(self.uid, self.uid)
        return sources

    def _without_guard(self) -> dict[bytes, bytes | int]:
        """Let bwrap work on the host's own mounts, where only bwrap may make user namespaces."""
        if "beneath" not in self.tool.features and bubblewrap_guard.mounts_in_trees(self.operations):
            self.stage = "bubblewrap"
            try:
                raise syscalls.SyscallError(EPERM, bubblewrap_guard.CVE)
            except syscalls.SyscallError:
                self.degradations.allow("filesystem", bubblewrap_guard.UNGUARDED)
        return bubblewrap_guard.opened(self.operations) if "bind-fd" in self.tool.features else {}


def _reachable(operations: Sequence[Operation]) -> list[Operation]:
    """Leave out covers of system files that this user cannot reach. There, bwrap could not mount anything either."""
    binds = [b for b in operations if isinstance(b, Bind) and b.owned and not isinstance(b, Cover)]
    owned = tuple(os.path.join(bind.at, b"") for bind in binds)

    def is_needed(cover: Cover) -> bool:
        return cover.at.startswith(owned) or os.path.lexists(cover.at)

    return [o for o in operations if not isinstance(o, Cover) or is_needed(o)]


def _identify(bind: Bind, sources: Mapping[bytes, bytes | int]) -> tuple[int, int, bool]:
    """Return the device and the inode of a bind's source, and whether the bind may be writable.

    bwrap would follow a link at the source. We do not.
    """
    source = sources.get(bind.at)
    if isinstance(source, int):
        status = os.fstat(source)
    else:
        fd = syscalls.open_path(os.fsencode(bind.source) if source is None else source)
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
    # bwrap cannot bind a device read-only. A read-only bind keeps the owner of a device from changing its mode, so only
    # root needs it.
    return status.st_dev, status.st_ino, bind.writable or (bind.device and source is None)


def pid_of(info: int) -> int:
    """Return the pid of pid 1 from bwrap's ``--info-fd``, or 0 if bwrap ended before it started one. Close ``info``."""
    text = b""
    with open(info, "rb", buffering=0) as file:
        # Up to the end of the object. bwrap writes it in pieces, and somebody has to read the last one.
        while b"}" not in text and (piece := file.read(4096)):
            text += piece
    value = text.partition(b'"child-pid":')[2].lstrip()
    return int(value[: len(value) - len(value.lstrip(b"0123456789"))] or 0)
