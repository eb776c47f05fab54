"""The launcher: outside the PID namespace, between the frontend's runner and pid 1.

It takes the identity, enters the namespaces, starts pid 1, forwards signals, keeps the time, and ends as the hook did.
It lives and dies with the frontend: by the parent-death signal, and by a FIFO that only the frontend holds open for
writing, for where another process stands between the two.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum: ten milliseconds
import marshal
import os
import select
import time

from . import identity, mounts, pipes, privileges, syscalls
from .init import Init, end_children, is_held
from .operations import from_wire
from .status import StatusFile
from .streams import Streams, descriptors

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
        self.parent = os.getppid()
        self.streams: Streams | None = None
        self.degraded: dict[str, str] = {}
        self.uid = 0

    def run(self, argv: list[bytes]) -> int:
        """Set up, start pid 1, and stay until it has ended. Return the exit code of the hook."""
        self._watch_parent()
        operations = [from_wire(name, values) for name, values in self.plan["operations"]]
        try:
            entered, place = self._enter(operations)
            report = self._fork(operations, entered, place, argv)
        except mounts.OperationError as error:
            return self._failed(error.__cause__, os.fsencode(error.operation.target))
        except identity.NoUidLeftError:
            return self._failed(OSError(11, ""), None)
        except OSError as error:
            return self._failed(error, getattr(error, "path", None) or error.filename)
        supervisor = Supervisor(self.pid, report, self.alive, self.plan["wall_time"])
        outcome = supervisor.watch(self.streams)
        self._end_rest()
        for source in descriptors(self.streams):
            # All writers are dead, so this ends.
            while self.streams is not None and self.streams.copy(source):
                pass
        return self._finish(outcome)

    def _end_rest(self) -> None:
        """Without a PID namespace, end what pid 1 could not: it may have been killed itself."""
        if self.plan["identity"] == b"separate":
            identity.end_all(self.uid)
        if self.plan["rules"] is not None:
            end_children()

    def _failed(self, error: BaseException | None, path: Any) -> int:
        number = error.errno or 0 if isinstance(error, OSError) else 0
        name = os.fsencode(path) if isinstance(path, (str, bytes)) else b""
        call = getattr(error, "syscall", "")
        self.status.write(state="failed", stage=self.stage, syscall=call, path=name, errno=number)
        return 125

    def _enter(self, operations: list[Operation]) -> tuple[identity.Entered, bytes]:
        """Take on the identity that the plan asks for, enter the namespaces, and say where the root can be mounted."""
        self.stage = "identity"
        mode = self.plan["identity"]
        if mode in (b"single", b"range", b"mirror", b"separate"):
            # Held until the last process of the sandbox is gone, and read by who gives new files to the caller.
            uid, self.lock = identity.take_uid()
            self.status.write(mode=mode, uid=identity.range_base(uid) if mode == b"range" else uid)
        else:
            uid = os.geteuid()
        entered = identity.ENTER[mode](self.plan, operations, uid)
        self.uid = entered.uid
        if self.plan["rules"] is not None:
            # There is no PID namespace that ends with us: whoever is left over is to be ours to end.
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        self._watch_parent()  # changes of credentials have disarmed the signal, prctl(2)
        # Where everything was opened before, the workspace itself is out of reach by now.
        self.degraded = {"identity": entered.degraded} if entered.degraded else {}
        return entered, _reachable_place() if entered.trees else self.workspace + b"/root"

    def _watch_parent(self) -> None:
        """End, with all that was started, when the parent or the frontend does.

        The signal comes when the *thread* ends that started us, prctl(2), so the handler looks whether the process has.
        """
        _signal.signal(_signal.SIGUSR1, lambda *_: self._end_if_orphaned())
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGUSR1)
        self._end_if_orphaned()
        if not is_held(self.alive):
            self._end()

    def _end_if_orphaned(self) -> None:
        if os.getppid() != self.parent:
            self._end()

    def _end(self) -> None:
        if self.pid == 0:
            os._exit(1)
        os.kill(self.pid, _signal.SIGKILL)

    def _fork(self, operations: list[Operation], entered: identity.Entered, place: bytes, argv: list[bytes]) -> int:
        """Start pid 1 and return the descriptor that it reports through."""
        self.stage = "starting pid 1"
        leash, held = os.pipe()
        report, write = os.pipe()
        if not self.plan["terminal"] and argv:
            self.streams = Streams()
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _FORWARDED)
        self.pid = os.fork()
        if self.pid == 0:
            _signal.signal(_signal.SIGUSR1, _signal.SIG_DFL)
            os.close(held)
            os.close(report)
            if self.streams is not None:
                self.streams.take()
            Init(self.plan, operations, entered, place, write).run(argv, leash)
        os.close(write)
        os.close(leash)
        if self.streams is not None:
            self.streams.release()
        self.held = held
        self.status.write(pid=self.pid, born=_start_time(self.pid))
        for tree in entered.trees.values():
            os.close(tree)
        for number in _FORWARDED:
            _signal.signal(number, lambda number, _frame: os.kill(self.pid, number))
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _FORWARDED)
        return report

    def _finish(self, outcome: dict[str, Any]) -> int:
        outcome["degraded"] = {**self.degraded, **outcome.get("degraded", {})}
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

    def watch(self, streams: Streams | None) -> dict[str, Any]:
        """Return what the status file is to say, after every process of the sandbox is dead.

        :param streams: what to copy meanwhile
        """
        poll = select.poll()
        poll.register(self.report, select.POLLIN)
        poll.register(self.alive, 0)  # POLLHUP alone, which is always reported
        for source in descriptors(streams):
            poll.register(source, select.POLLIN)
        deadline = None if self.wall_time is None else time.monotonic() + self.wall_time
        limit = ""
        open_report = True
        while open_report:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            events = dict(poll.poll(left))
            if not events:
                os.kill(self.pid, _signal.SIGKILL if limit else _signal.SIGTERM)
                deadline = None if limit else time.monotonic() + _GRACE
                limit = "wall_time"
            if self.alive in events:
                os.kill(self.pid, _signal.SIGKILL)
                poll.unregister(self.alive)
            self._copy(events, streams, poll)
            if self.report in events:
                open_report = self._read()
        # waitpid(2) returns after the kernel has ended and reaped every process of the namespace, pid_namespaces(7).
        os.waitpid(self.pid, 0)
        if "state" not in self.outcome:
            # Without a word about its end, pid 1 was killed: with the hook, or before there was one.
            killed = {"state": "exited", "code": -int(_signal.SIGKILL)}
            failed = {"state": "failed", "stage": "pid 1 of the sandbox", "syscall": "", "path": b"", "errno": 0}
            self.outcome.update(killed if self.outcome.get("running") or limit else failed)
        return {**self.outcome, "limit": limit}

    def _copy(self, events: dict[int, int], streams: Streams | None, poll: select.poll) -> None:
        for source in descriptors(streams):
            if source in events and streams is not None and not streams.copy(source):
                poll.unregister(source)

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
            self.outcome.setdefault("degraded", {})[values[0]] = values[1]
        elif kind == "running":
            self.outcome["running"] = True
        elif kind == "failed":
            self.outcome = dict(zip(("stage", "syscall", "path", "errno"), values, strict=True), state="failed")
        return True


def _start_time(pid: int) -> bytes:
    try:
        with open(b"/proc/%d/stat" % pid, "rb") as file:
            return file.read().rpartition(b")")[2].split()[19]
    except OSError:
        return b""  # /proc is mounted with hidepid: nobody will wait by this number


def _reachable_place() -> bytes:
    for place in _PLACES:
        try:
            mode = os.stat(place).st_mode
        except OSError:
            continue
        if mode & 0o170001 == 0o040001:
            return place
    raise syscalls.SyscallError(2, "stat", _PLACES[0])
