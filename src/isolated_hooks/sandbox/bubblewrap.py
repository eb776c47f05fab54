"""Bubblewrap in the place of our own namespaces and mounts: the same operations as arguments of bwrap(1).

What bubblewrap has no words for stays ours. Outside, before it: the throw-away uid and the idmapped mounts, the empty
keyring, the environment filter. Inside, after it: pid 1, limits, and a look at what it made, before the hook is run.
"""

from __future__ import annotations

import marshal
import os
import select
import stat
import sys

from . import identity, inherited, mounts, privileges, seccomp, syscalls
from .init import Init, die_with_parent, end_children
from .launch import Launch, launch
from .operations import Accounts, Bind, Cover, Devpts, File, Proc, Scratch, Symlink

if False:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .operations import Operation
    from .supervisor import Supervisor

_DEV = b"/dev"
#: How many parts of the limit each writable directory gets: bwrap mounts a filesystem for each.
_SHARES = {b"/tmp": 6, b"/sandbox": 3}
_UID = b"%d" % identity.SANDBOX_UID


def main(arguments: list[str]) -> int:
    """Run ``PROGRAM WORKSPACE -- COMMAND...`` in what bubblewrap makes, and return its exit code."""
    program = os.fsencode(arguments[0])
    return launch(lambda *values: Bubblewrapped(program, *values), arguments[1:])


class Bubblewrapped(Launch):
    """One launch of one plan, in namespaces that bubblewrap makes: it stands between the launcher and pid 1."""

    def __init__(self, program: bytes, plan: dict[str, Any], workspace: bytes, alive: int) -> None:
        super().__init__(plan, workspace, alive)
        self.program = program

    def start(self, operations: list[Operation], argv: list[bytes]) -> int:
        """Have bubblewrap make the namespaces and start pid 1. Return the descriptor that pid 1 reports through."""
        uid = self.take_uid()
        # Where bwrap is killed, what it has started becomes ours.
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        info, write = os.pipe()
        program = self.program
        report = self.fork(
            lambda report: Wrapped(self.plan, operations, uid, report, program=program, info=write), argv
        )
        os.close(write)
        self.outer = os.pidfd_open(self.pid)
        self.follow(pid_of(info))
        return report

    def supervisor(self, report: int) -> Supervisor:
        """Return who stays with pid 1, and with bwrap."""
        supervisor = super().supervisor(report)
        supervisor.default_stage = "bubblewrap"
        supervisor.guards.add(self.outer)
        return supervisor

    def end_rest(self) -> None:
        """End what pid 1 could not, where bwrap was killed before it."""
        end_children()


class Files:
    """What bwrap reads by descriptor, in memory: nothing of it is on a disk or in an argument that others can see."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    def add(self, content: bytes) -> bytes:
        """Return the number of a new descriptor from which ``content`` can be read."""
        fd = os.memfd_create("isolated-hooks", os.MFD_CLOEXEC)
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        self.fds.append(fd)
        return b"%d" % fd


def arguments(
    plan: dict[str, Any], operations: Sequence[Operation], sources: Mapping[bytes, bytes], files: Files
) -> list[bytes]:
    """Return the arguments of bwrap for a plan, without the command.

    :param sources: where what is to be bound is found, by target, if not at its own place
    :param files: where to put what bwrap is to read
    """
    words = b"--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup --disable-userns".split()
    words += [] if plan["network"] else [b"--unshare-net"]
    words += [b"--uid", _UID, b"--gid", _UID, b"--hostname", plan["hostname"], b"--cap-drop", b"ALL"]
    words += b"--clearenv --new-session --die-with-parent --as-pid-1".split()
    program = seccomp.filter_program(syscalls.MACHINE, namespaces=True, network=plan["network"])
    words += [b"--seccomp", files.add(program)]
    own_dev = any(isinstance(operation, Devpts) for operation in operations)
    # A filesystem of its own, with links, /dev/pts and devices, and so before all that is put into it.
    words += [b"--dev", _DEV] if own_dev else []
    for operation in operations:
        target = operation.at
        if not (own_dev and isinstance(operation, (Devpts, Symlink)) and target.startswith(b"/dev/")):
            words += _WORDS[type(operation)](operation, target, sources, files)
    words += [b"--remount-ro", _DEV] if own_dev else []
    return [*words, b"--remount-ro", b"/"]


def _bind(bind: Any, target: bytes, sources: Mapping[bytes, bytes], _files: Files) -> list[bytes]:
    how = b"--dev-bind" if bind.device else b"--bind" if bind.writable else b"--ro-bind"
    return [how, sources.get(target, bind.source), target]


def _file(file: Any, target: bytes, _sources: object, files: Files) -> list[bytes]:
    return [b"--perms", b"0644", b"--file", files.add(file.content), target]


def _accounts(accounts: Any, target: bytes, _sources: object, files: Files) -> list[bytes]:
    words = []
    for name, content in accounts.files(identity.SANDBOX_UID, identity.SANDBOX_UID):
        words += [b"--perms", b"0644", b"--file", files.add(content), b"%b/%b" % (target, name)]
    return words


def _scratch(scratch: Any, _target: bytes, _sources: object, _files: Files) -> list[bytes]:
    words = []
    parts = {path: _SHARES.get(path, 1) for path, _ in scratch.targets}
    for path, mode in scratch.targets:
        size = max(1, scratch.size * parts[path] // sum(parts.values()))
        words += [b"--size", b"%d" % size, b"--perms", b"%04o" % mode, b"--tmpfs", path]
    return words


_WORDS: dict[type, Callable[[Any, bytes, Mapping[bytes, bytes], Files], list[bytes]]] = {
    Bind: _bind,
    Cover: _bind,
    File: _file,
    Accounts: _accounts,
    Scratch: _scratch,
    Symlink: lambda link, target, *_: [b"--symlink", link.destination, target],
    # Read-only as a whole: a hook of kuid 0 could write its settings without any capability.
    Proc: lambda _, target, *__: [b"--proc", target, b"--remount-ro", target],
    Devpts: lambda *_: [],  # --dev brings it, and nothing else can
}


class Wrapped(Init):
    """What is forked in the place of pid 1: takes the identity, does what bwrap cannot do, and becomes bwrap."""

    def __init__(
        self,
        plan: dict[str, Any],
        operations: list[Operation],
        uid: int,
        report: int,
        *,
        program: bytes,
        info: int,
    ) -> None:
        super().__init__(plan, operations, identity.Entered(identity.SANDBOX_UID, {}), b"", report)
        self.uid = uid
        self.program = program
        self.info = info

    def _work(self, argv: list[bytes], leash: int) -> None:
        self.stage = "starting pid 1"
        _leave_guard(leash)
        self.stage = "identity"
        sources = self._take_identity()
        self.stage = "keyring and terminal"
        self._join_keyring()
        variables = self._environment()
        # Behind the filter this limit can only be pretended to be set.
        privileges.limit({})
        self.stage = "bubblewrap"
        self.operations = _reachable(self.operations)
        files = Files()
        words = [b"--info-fd", b"%d" % self.info, *arguments(self.plan, self.operations, sources, files)]
        job = {
            "plan": {name: value for name, value in self.plan.items() if name != "environ"},
            "argv": argv,
            "variables": variables,
            "report": self.report,
            "leash": leash,
            "shown": {b.at: _identify(b, sources) for b in self.operations if isinstance(b, Bind)},
        }
        inside = files.add(marshal.dumps(job))
        given = files.add(b"".join(word + b"\0" for word in words))
        python = os.path.realpath(os.fsencode(sys.executable))
        script = os.path.join(os.path.dirname(os.fsencode(__file__)), b"__main__.py")
        command = [self.program, b"--args", given, b"--", python, b"-I", b"-S", script, b"bubblewrap_inside", inside]
        syscalls.close_on_exec_from(3)
        for fd in (*files.fds, self.info, self.report, leash):
            os.set_inheritable(fd, True)
        die_with_parent(leash)  # a change of credentials has disarmed the signal, prctl(2)
        try:
            os.execve(self.program, command, {})
        except OSError as error:
            raise syscalls.SyscallError(error.errno or 0, "execve", self.program) from error

    def _take_identity(self) -> dict[bytes, bytes]:
        """Become who the hook is, and return where bwrap finds each bind, by target, if not at its own place."""
        who = self.plan["identity"]
        if not who["of_root"]:
            return {}
        spaces = {b"caller": 0, b"tree": 0}
        if who["throw_away"]:
            spaces = identity.single_spaces(self.plan, self.uid)
        sources = _place(self.operations, spaces)
        if who["throw_away"]:
            identity.become(self.uid, self.uid)
        return sources


def _leave_guard(leash: int) -> None:
    """Go on in a child, while this process waits for its end or the launcher's, and then ends all that came from it.

    What bwrap starts waits for bwrap, and asks to die with it only afterwards. Where bwrap, or the launcher, is killed
    in between nobody would ever end it; it becomes a child of this process instead.
    """
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 0)
    pid = os.fork()
    if pid == 0:
        die_with_parent(leash)
        return
    try:
        inherited.hold_only(leash, os.pidfd_open(pid))
        poll = select.poll()
        poll.register(0, 0)  # POLLHUP alone, which is always reported
        poll.register(1, select.POLLIN)
        poll.poll()
        end_children()
    finally:
        os._exit(0)


def _place(operations: Sequence[Operation], spaces: dict[bytes, int]) -> dict[bytes, bytes]:
    """Put every bind, read-only or idmapped as it is to be, where bwrap finds it without any privilege.

    :param spaces: the user namespace that maps the caller's files, and the tree's, or 0
    :return: the place of each, by target
    """
    # First, because a root of no more than its user namespace may clone no tree of the mount namespace that it is in.
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_private()
    trees = mounts.open_trees(operations, spaces)
    place = mounts.reachable_place()
    syscalls.mount(b"trees", place, b"tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=755,nr_inodes=16384")
    places = {}
    for number, (target, tree) in enumerate(trees.items()):
        places[target] = path = b"%b/%d" % (place, number)
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        spot = syscalls.open_path(path)
        syscalls.move_mount(tree, spot, path=target)
        os.close(spot)
        os.close(tree)
    return places


def _reachable(operations: Sequence[Operation]) -> list[Operation]:
    """Leave out covers of what this user cannot reach in the system, where bwrap could put nothing either."""
    binds = [b for b in operations if isinstance(b, Bind) and b.owned and not isinstance(b, Cover)]
    owned = tuple(os.path.join(bind.at, b"") for bind in binds)

    def is_needed(cover: Cover) -> bool:
        return cover.at.startswith(owned) or os.path.lexists(cover.at)

    return [o for o in operations if not isinstance(o, Cover) or is_needed(o)]


def _identify(bind: Bind, sources: Mapping[bytes, bytes]) -> tuple[int, int, bool]:
    """Return which file a bind is of, found without following a link as bwrap would, and whether it may be writable."""
    source = sources.get(bind.at)
    fd = syscalls.open_path(os.fsencode(bind.source) if source is None else source)
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    # bwrap cannot bind a device read-only. That keeps its owner from changing its mode, and so matters to root alone.
    return status.st_dev, status.st_ino, bind.writable or (bind.device and source is None)


def pid_of(info: int) -> int:
    """Return pid 1 as bwrap gives it by ``--info-fd``, or 0 where it ended before it started one. Closes ``info``."""
    text = b""
    with open(info, "rb", buffering=0) as file:
        # To the end of the object, which is written in pieces: nobody would be there to read the last one otherwise.
        while b"}" not in text and (more := file.read(4096)):
            text += more
    value = text.partition(b'"child-pid":')[2].lstrip()
    return int(value[: len(value) - len(value.lstrip(b"0123456789"))] or 0)
