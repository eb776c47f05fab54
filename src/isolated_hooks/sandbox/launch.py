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
    from collections.abc import Callable
    from typing import Any

    from .operations import Operation

_FORWARDED = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)
# Seconds between asking and forcing, when a time limit has run out.
_GRACE = 5.0


class SetupError(Exception):
    """Setting up failed at a stage, with the OSError as cause."""


def main(arguments: list[str]) -> int:
    """Run ``[--bubblewrap PROGRAM] WORKSPACE -- COMMAND...`` and return its exit code."""
    program = b""
    if arguments[0] == "--bubblewrap":
        program, arguments = os.fsencode(arguments[1]), arguments[2:]
    workspace, argv = os.fsencode(arguments[0]), [os.fsencode(a) for a in arguments[2:]]
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    with open(workspace + b"/plan", "rb") as file:
        plan = marshal.load(file)
    alive = os.open(workspace + b"/alive", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return Launcher(plan, workspace, alive, program).run(argv)


class Launcher:
    """One launch of one plan, in namespaces of our own making or, where a program is named, of bubblewrap's."""

    def __init__(self, plan: dict[str, Any], workspace: bytes, alive: int, bubblewrap: bytes) -> None:
        self.plan = plan
        self.bubblewrap = bubblewrap
        self.workspace = workspace
        self.alive = alive
        self.status = StatusFile(workspace + b"/status")
        self.stage = "reading the plan"
        self.pid = 0
        self.parent = os.getppid()
        self.streams: Streams | None = None
        self.uid = 0

    def run(self, argv: list[bytes]) -> int:
        """Set up, start pid 1, and stay until it has ended. Return the exit code of the hook."""
        self._watch_parent()
        operations = [from_wire(name, values) for name, values in self.plan["operations"]]
        try:
            report = (self._start_bubblewrap if self.bubblewrap else self._start)(operations, argv)
        except mounts.OperationError as error:
            return self._failed(error.__cause__, os.fsencode(error.operation.target))
        except identity.NoUidLeftError:
            return self._failed(OSError(11, ""), None)
        except OSError as error:
            return self._failed(error, getattr(error, "path", None) or error.filename)
        supervisor = Supervisor(self.pid, report, self.alive, self.plan["wall_time"])
        if self.bubblewrap:
            supervisor.untold = "bubblewrap"
            supervisor.guards += (self.outer,)
        outcome = supervisor.watch(self.streams)
        self._end_rest()
        for source in descriptors(self.streams):
            # All writers are dead, so this ends.
            while self.streams is not None and self.streams.copy(source):
                pass
        return self._finish(outcome)

    def _end_rest(self) -> None:
        """End what pid 1 could not, without a PID namespace or where bubblewrap was killed before it."""
        if self.plan["identity"] == b"separate":
            identity.end_all(self.uid)
        if self.plan["rules"] is not None or self.bubblewrap:
            end_children()

    def _failed(self, error: BaseException | None, path: Any) -> int:
        number = error.errno or 0 if isinstance(error, OSError) else 0
        name = os.fsencode(path) if isinstance(path, (str, bytes)) else b""
        call = getattr(error, "syscall", "")
        self.status.write(state="failed", stage=self.stage, syscall=call, path=name, errno=number)
        return 125

    def _enter(self, operations: list[Operation]) -> tuple[identity.Entered, bytes]:
        """Take on the identity that the plan asks for, enter the namespaces, and say where the root can be mounted."""
        mode = self.plan["identity"]
        entered = identity.ENTER[mode](self.plan, operations, self._take_uid())
        self.uid = entered.uid
        if self.plan["rules"] is not None:
            # There is no PID namespace that ends with us: whoever is left over is to be ours to end.
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        self._watch_parent()  # changes of credentials have disarmed the signal, prctl(2)
        # Where everything was opened before, the workspace itself is out of reach by now.
        return entered, mounts.reachable_place() if entered.trees else self.workspace + b"/root"

    def _take_uid(self) -> int:
        self.stage = "identity"
        mode = self.plan["identity"]
        if mode not in (b"single", b"range", b"mirror", b"separate"):
            return os.geteuid()
        # Held until the last process of the sandbox is gone, and read by who gives new files to the caller.
        uid, self.lock = identity.take_uid()
        self.status.write(mode=mode, uid=identity.range_base(uid) if mode == b"range" else uid)
        return uid

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
        _kill(self.pid, _signal.SIGKILL)

    def _start(self, operations: list[Operation], argv: list[bytes]) -> int:
        """Enter namespaces of our own making and start pid 1. Return the descriptor that it reports through."""
        entered, place = self._enter(operations)
        report = self._fork(lambda report: Init(self.plan, operations, entered, place, report), argv)
        for tree in entered.trees.values():
            os.close(tree)
        self._supervise(self.pid)
        return report

    def _start_bubblewrap(self, operations: list[Operation], argv: list[bytes]) -> int:
        """Have bubblewrap make the namespaces and start pid 1, as :meth:`_start`."""
        from .bubblewrap import Wrapped, pid_of  # only here: each import costs every hook

        uid = self._take_uid()
        # Where bwrap is killed, what it has started becomes ours.
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        info, write = os.pipe()
        program = self.bubblewrap
        report = self._fork(
            lambda report: Wrapped(self.plan, operations, uid, report, program=program, info=write), argv
        )
        os.close(write)
        self.outer = os.pidfd_open(self.pid)
        self._supervise(pid_of(info))
        return report

    def _fork(self, init: Callable[[int], Init], argv: list[bytes]) -> int:
        """Fork what is, or becomes, pid 1, and return the descriptor that it reports through. Signals are held back."""
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
            init(write).run(argv, leash)
        os.close(write)
        os.close(leash)
        if self.streams is not None:
            self.streams.release()
        self.held = held
        return report

    def _supervise(self, pid: int) -> None:
        """Tell who pid 1 is, if there is one, and forward signals to it from now on."""
        if pid:
            self.pid = pid
            self.status.write(pid=pid, born=_start_time(pid))
        for number in _FORWARDED:
            _signal.signal(number, lambda number, _frame: _kill(self.pid, number))
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _FORWARDED)

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
        self.guards: tuple[int, ...] = (alive,)  # when one of them has ended, or hung up, everything ends
        self.untold = "pid 1 of the sandbox"  # what has failed where nobody says so

    def watch(self, streams: Streams | None) -> dict[str, Any]:
        """Return what the status file is to say, after every process of the sandbox is dead.

        :param streams: what to copy meanwhile
        """
        poll = select.poll()
        poll.register(self.report, select.POLLIN)
        for guard in self.guards:
            # Of the FIFO, which nobody writes to, POLLHUP alone; a process that has ended is readable, pidfd_open(2).
            poll.register(guard, select.POLLIN)
        for source in descriptors(streams):
            poll.register(source, select.POLLIN)
        deadline = None if self.wall_time is None else time.monotonic() + self.wall_time
        limit = ""
        open_report = True
        while open_report:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            events = dict(poll.poll(left))
            if not events:
                _kill(self.pid, _signal.SIGKILL if limit else _signal.SIGTERM)
                deadline = None if limit else time.monotonic() + _GRACE
                limit = "wall_time"
            for guard in events.keys() & self.guards:
                _kill(self.pid, _signal.SIGKILL)
                poll.unregister(guard)
            self._copy(events, streams, poll)
            if self.report in events:
                open_report = self._read()
        # waitpid(2) returns after the kernel has ended and reaped every process of the namespace, pid_namespaces(7).
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # it is bubblewrap's child, which is waited for later
        if "state" not in self.outcome:
            # Without a word about its end, pid 1 was killed: with the hook, or before there was one.
            killed = {"state": "exited", "code": -int(_signal.SIGKILL)}
            failed = {"state": "failed", "stage": self.untold, "syscall": "", "path": b"", "errno": 0}
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


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # bubblewrap has just reaped it


def _start_time(pid: int) -> bytes:
    try:
        with open(b"/proc/%d/stat" % pid, "rb") as file:
            return file.read().rpartition(b")")[2].split()[19]
    except OSError:
        return b""  # /proc is mounted with hidepid: nobody will wait by this number
