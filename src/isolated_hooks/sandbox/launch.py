"""The launcher: outside the PID namespace, between the frontend's runner and pid 1.

It takes the identity, enters the namespaces, starts pid 1, forwards signals, keeps the time, and ends as the hook ended.
It lives and dies with the frontend: by the parent-death signal, and by a FIFO that only the frontend holds open for
writing, for where another process stands between the two.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum: ten milliseconds
import marshal
import os
import select
import time

from . import identity, mounts, namespaces, pipes, privileges, syscalls
from .init import Init, die_with_parent
from .operations import from_wire
from .status import StatusFile

if False:
    from typing import Any

    from .operations import Operation

_FORWARDED = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)
# Seconds between asking and forcing, when a time limit has run out.
_GRACE = 5.0
# Where a root can be mounted while its final path is not reachable: the directory is hidden only in the new namespace.
_PLACES = (b"/mnt", b"/srv", b"/media", b"/tmp", b"/var/tmp", b"/run")


class SetupError(Exception):
    """Setting up failed at a stage, with the OSError as cause."""


def main(arguments: list[str]) -> int:
    """Run ``WORKSPACE -- COMMAND...`` and return its exit code."""
    workspace, argv = os.fsencode(arguments[0]), [os.fsencode(a) for a in arguments[2:]]
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    with open(workspace + b"/plan", "rb") as file:
        plan = marshal.load(file)
    alive = os.open(workspace + b"/alive", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    die_with_parent(alive)
    return Launcher(plan, workspace, alive).run(argv)


class Launcher:
    """One launch of one plan."""

    def __init__(self, plan: dict[str, Any], workspace: bytes, alive: int) -> None:
        self.plan = plan
        self.workspace = workspace
        self.alive = alive
        self.status = StatusFile(workspace + b"/status")
        self.stage = "reading the plan"
        self.pid = 0

    def run(self, argv: list[bytes]) -> int:
        """Set up, start pid 1, and stay until it has ended. Return the exit code of the hook."""
        operations = [from_wire(name, values) for name, values in self.plan["operations"]]
        try:
            place, trees = self._enter(operations)
            report = self._fork(operations, trees, place, argv)
        except mounts.OperationError as error:
            return self._failed(error.__cause__, os.fsencode(error.operation.target))
        except identity.NoUidLeftError:
            return self._failed(OSError(11, ""), None)
        except OSError as error:
            return self._failed(error, getattr(error, "path", None) or error.filename)
        return self._finish(Supervisor(self.pid, report, self.alive, self.plan["wall_time"]).watch())

    def _failed(self, error: BaseException | None, path: Any) -> int:
        number = error.errno or 0 if isinstance(error, OSError) else 0
        name = os.fsencode(path) if isinstance(path, (str, bytes)) else b""
        call = getattr(error, "syscall", "")
        self.status.write(state="failed", stage=self.stage, syscall=call, path=name, errno=number)
        return 125

    def _enter(self, operations: list[Operation]) -> tuple[bytes, dict[bytes, int]]:
        """Take on the identity that the plan asks for, and enter the namespaces."""
        self.stage = "identity"
        mode = self.plan["identity"]
        enter = {b"user": _enter_as_user, b"single": _enter_single, b"range": _enter_range, b"mirror": _enter_mirror}
        if mode != b"user":
            # Held until the last process of the sandbox is gone, and read by who gives new files to the caller.
            self.uid, self.lock = identity.take_uid()
            self.status.write(mode=mode, uid=identity.range_base(self.uid) if mode == b"range" else self.uid)
            trees = enter[mode](self.plan, operations, self.uid)
        else:
            trees = enter[mode](self.plan, operations, os.geteuid())
        die_with_parent(self.alive)
        place = self.workspace + b"/root" if mode in (b"user", b"mirror") else _reachable_place()
        return place, trees

    def _fork(self, operations: list[Operation], trees: dict[bytes, int], place: bytes, argv: list[bytes]) -> int:
        """Start pid 1 and return the descriptor that it reports through."""
        self.stage = "starting pid 1"
        leash, held = os.pipe()
        report, write = os.pipe()
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _FORWARDED)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(held)
            os.close(report)
            Init(self.plan, operations, trees, place, write).run(argv, leash)
        os.close(write)
        os.close(leash)
        self.held = held
        self.status.write(pid=self.pid, born=_start_time(self.pid))
        for tree in trees.values():
            os.close(tree)
        for number in _FORWARDED:
            _signal.signal(number, lambda number, _frame: os.kill(self.pid, number))
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _FORWARDED)
        return report

    def _finish(self, outcome: dict[str, Any]) -> int:
        self.status.write(**outcome)
        if outcome["state"] == "failed":
            return 125
        code: int = outcome["code"]
        if code < 0:
            # End by the same signal, so the frontend's runner sees what it would have seen; without a second core dump.
            privileges.limit({})
            _signal.signal(-code, _signal.SIG_DFL) if -code not in (_signal.SIGKILL, _signal.SIGSTOP) else None
            os.kill(os.getpid(), -code)
        return code


class Supervisor:
    """Watches pid 1, the frontend and the clock."""

    def __init__(self, pid: int, report: int, alive: int, wall_time: float | None) -> None:
        self.pid = pid
        self.report = report
        self.alive = alive
        self.wall_time = wall_time
        self.outcome: dict[str, Any] = {}

    def watch(self) -> dict[str, Any]:
        """Return what the status file is to say, after every process of the sandbox is dead."""
        poll = select.poll()
        poll.register(self.report, select.POLLIN)
        poll.register(self.alive, 0)  # POLLHUP alone, which is always reported
        deadline = None if self.wall_time is None else time.monotonic() + self.wall_time
        limit = ""
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            events = poll.poll(left)
            if not events:
                os.kill(self.pid, _signal.SIGKILL if limit else _signal.SIGTERM)
                deadline = None if limit else time.monotonic() + _GRACE
                limit = "wall_time"
            elif any(fd == self.alive for fd, _ in events):
                os.kill(self.pid, _signal.SIGKILL)
                poll.unregister(self.alive)
            elif not self._read():
                break
        # waitpid(2) returns after the kernel has ended and reaped every process of the namespace, pid_namespaces(7).
        os.waitpid(self.pid, 0)
        if not self.outcome:
            self.outcome = {"state": "exited", "code": -int(_signal.SIGKILL)}
        return {**self.outcome, "limit": limit}

    def _read(self) -> bool:
        message = pipes.receive(self.report)
        if message is None:
            return False
        kind, *values = message
        if kind == "exited":
            self.outcome = {**self.outcome, "state": "exited", "code": values[0]}
        elif kind == "dropped":
            self.outcome["dropped"] = values[0]
        elif kind == "degraded":
            self.outcome["degraded"] = tuple(values)
        elif kind == "running":
            self.outcome["running"] = True
        elif kind == "failed":
            self.outcome = dict(zip(("stage", "syscall", "path", "errno"), values, strict=True), state="failed")
        return True


def _enter_as_user(plan: dict[str, Any], _operations: list[Operation], uid: int) -> dict[bytes, int]:
    own = identity.SANDBOX_UID
    uid_map, gid_map = b"%d %d 1" % (own, uid), b"%d %d 1" % (own, os.getegid())
    namespaces.enter(network=plan["network"], uid_map=uid_map, gid_map=gid_map, by_parent=False)
    plan.update(uid=own, gid=own)
    return {}


def _enter_single(plan: dict[str, Any], operations: list[Operation], uid: int) -> dict[bytes, int]:
    """One owner: idmapped mounts show its files as the throw-away uid's, and that is the one uid that is mapped."""

    def namespace(owner: tuple[int, int]) -> int:
        return namespaces.UserNamespace(b"%d %d 1" % (owner[0], uid), b"%d %d 1" % (owner[1], uid)).fd

    spaces = {b"caller": namespace((os.geteuid(), os.getegid())), b"tree": namespace(plan["owner"])}
    trees = mounts.open_trees(operations, spaces)
    identity.become(uid, uid)
    return {**_enter_as_user_of(plan, uid), **trees}


def _enter_as_user_of(plan: dict[str, Any], uid: int) -> dict[bytes, int]:
    own = identity.SANDBOX_UID
    line = b"%d %d 1" % (own, uid)
    namespaces.enter(network=plan["network"], uid_map=line, gid_map=line, by_parent=False)
    plan.update(uid=own, gid=own)
    return {}


def _enter_range(plan: dict[str, Any], operations: list[Operation], uid: int) -> dict[bytes, int]:
    """Many owners: a block of ids of its own, and two capabilities that reach nothing but inodes shown in that block."""
    line = b"0 %d %d" % (identity.range_base(uid), identity.RANGE_SIZE)
    fd = namespaces.UserNamespace(line, line).fd
    trees = mounts.open_trees(operations, {b"caller": fd, b"tree": fd})
    lines = identity.range_map(uid)
    namespaces.enter(network=plan["network"], uid_map=lines, gid_map=lines, by_parent=True)
    _become_keeping_capabilities(plan, identity.SANDBOX_UID)
    return trees


def _enter_mirror(plan: dict[str, Any], _operations: list[Operation], uid: int) -> dict[bytes, int]:
    """No idmapped mounts: the caller's own map again, and two capabilities over what the read-only view shows."""
    maps = namespaces.mirror("/proc/self/uid_map"), namespaces.mirror("/proc/self/gid_map")
    namespaces.enter(network=plan["network"], uid_map=maps[0], gid_map=maps[1], by_parent=True)
    _become_keeping_capabilities(plan, uid)
    return {}


def _become_keeping_capabilities(plan: dict[str, Any], uid: int) -> None:
    privileges.keep_capabilities_over_setuid()
    identity.become(uid, uid)
    plan.update(uid=uid, gid=uid, capabilities=(privileges.CAP_DAC_OVERRIDE, privileges.CAP_FOWNER))


def _start_time(pid: int) -> bytes:
    with open(b"/proc/%d/stat" % pid, "rb") as file:
        return file.read().rpartition(b")")[2].split()[19]


def _reachable_place() -> bytes:
    for place in _PLACES:
        try:
            mode = os.stat(place).st_mode
        except OSError:
            continue
        if mode & 0o170001 == 0o040001:
            return place
    raise syscalls.SyscallError(2, "stat", _PLACES[0])
