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
from .operations import Accounts, Bind, Cover, Devpts, File, Proc, Scratch, Symlink

if False:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from .operations import Operation

_DEV = b"/dev"
#: How many parts of the limit each writable directory gets: bwrap mounts a filesystem for each.
_SHARES = {b"/tmp": 6, b"/sandbox": 3}
_UID = b"%d" % identity.SANDBOX_UID


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
        sources = {}
        if self.plan["identity"] != b"user":
            sources = _place(self.plan, self.operations, self.uid)
            identity.become(self.uid, self.uid) if self.plan["identity"] == b"single" else None
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
        command = [self.program, b"--args", given, b"--", python, b"-I", b"-S", script, b"--inside", inside]
        syscalls.close_on_exec_from(3)
        for fd in (*files.fds, self.info, self.report, leash):
            os.set_inheritable(fd, True)
        die_with_parent(leash)  # a change of credentials has disarmed the signal, prctl(2)
        try:
            os.execve(self.program, command, {})
        except OSError as error:
            raise syscalls.SyscallError(error.errno or 0, "execve", self.program) from error


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


def _place(plan: dict[str, Any], operations: Sequence[Operation], uid: int) -> dict[bytes, bytes]:
    """Put every bind, read-only or idmapped as it is to be, where bwrap finds it without any privilege.

    :return: the place of each, by target
    """
    single = plan["identity"] == b"single"
    spaces = identity.single_spaces(plan, uid) if single else {b"caller": 0, b"tree": 0}
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


class Inside(Init):
    """Pid 1 in what bwrap made: looks at it, and goes on as pid 1 of our own making does."""

    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__(job["plan"], [], identity.Entered(identity.SANDBOX_UID, {}), b"", job["report"])
        self.job = job

    def _set_up(self) -> None:
        self.stage = "a look at what bubblewrap made"
        _check_status()
        _check_mounts(self.job["shown"])
        self._use_terminal()
        self._use_limits()
        if self.plan["scope"]:
            self._scope()

    def _environment(self) -> dict[bytes, bytes]:
        variables: dict[bytes, bytes] = self.job["variables"]
        return variables


def inside(arguments: list[str]) -> None:
    """Go on inside bubblewrap's namespaces, as what was left at a descriptor says."""
    with open(int(arguments[0]), "rb") as file:
        job = marshal.load(file)
    for number in (job["report"], job["leash"]):
        os.set_inheritable(number, False)
    Inside(job).run(job["argv"], job["leash"])


def pid_of(info: int) -> int:
    """Return pid 1 as bwrap gives it by ``--info-fd``, or 0 where it ended before it started one. Closes ``info``."""
    text = b""
    with open(info, "rb", buffering=0) as file:
        # To the end of the object, which is written in pieces: nobody would be there to read the last one otherwise.
        while b"}" not in text and (more := file.read(4096)):
            text += more
    value = text.partition(b'"child-pid":')[2].lstrip()
    return int(value[: len(value) - len(value.lstrip(b"0123456789"))] or 0)


def _check_status() -> None:
    """Raise SyscallError if this process has a capability, could gain one, or runs without a filter."""
    wanted = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)
    wanted |= {"NoNewPrivs": "1", "Seccomp": "2"}
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if wanted.pop(name, value.strip()) != value.strip():
                raise syscalls.SyscallError(1, name)
    if wanted:
        raise syscalls.SyscallError(1, next(iter(wanted)))


def _check_mounts(shown: Mapping[bytes, tuple[int, int, bool]]) -> None:
    """Raise SyscallError if something else was mounted than what the plan says, or it can be written to."""
    options = dict(_mount_options())
    for target in (b"/", b"/proc", *(path for path, (*_, writable) in shown.items() if not writable)):
        if b"ro" not in options.get(target, ()):
            raise syscalls.SyscallError(30, "mount", target)
    for target, (device, inode, _) in shown.items():
        status = os.lstat(target)
        if target not in options or os.path.realpath(target) != target:
            raise syscalls.SyscallError(40, "mount", target)
        if (status.st_dev, status.st_ino) != (device, inode):
            raise syscalls.SyscallError(116, "mount", target)


def _mount_options() -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
    """Yield the place and the options of every mount, proc_pid_mountinfo(5); of two at one place the upper one last."""
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields = line.split(b" ")
            parts = fields[4].split(b"\\")
            place = parts[0] + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in parts[1:])
            yield place, tuple(fields[5].split(b","))
