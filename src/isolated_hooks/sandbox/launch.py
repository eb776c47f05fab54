"""The launcher: outside the PID namespace, between the frontend's runner and pid 1.

It sets the limits, takes the identity, enters the namespaces, starts pid 1, forwards signals, and ends as the hook did.
It lives and dies with the frontend: by the parent-death signal, and by a FIFO that only the frontend holds open for
writing, for where another process stands between the two.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum: ten milliseconds
import marshal
import os

from . import cgroup, identity, landlock, mounts, privileges, syscalls
from .init import Init, end_children, end_scoped, is_held
from .operations import from_wire
from .status import StatusFile, start_time
from .streams import Streams
from .supervisor import Supervisor, kill
from .watcher import Watcher, tasks_of

if False:
    from collections.abc import Callable
    from typing import Any

    from .operations import Operation

_FORWARDED = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)


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
        self.watcher: Watcher | None = None
        self.group: cgroup.Group | None = None
        self.uid = 0
        self.scoped = False

    def run(self, argv: list[bytes]) -> int:
        """Set up, start pid 1, and stay until it has ended. Return the exit code of the hook."""
        self._watch_parent()
        operations = [from_wire(name, values) for name, values in self.plan["operations"]]
        try:
            if argv:
                self._limit()
            report = (self._start_bubblewrap if self.bubblewrap else self._start)(operations, argv)
        except mounts.OperationError as error:
            return self._failed(error.__cause__, error.operation.at)
        except identity.NoUidLeftError:
            return self._failed(OSError(11, ""), None)
        except OSError as error:
            return self._failed(error, getattr(error, "path", None) or error.filename)
        supervisor = Supervisor(self.pid, report, self.alive, self.plan["supervised"], self.streams, self.watcher)
        if self.bubblewrap:
            supervisor.untold = "bubblewrap"
            supervisor.guards.add(self.outer)
        outcome = supervisor.watch()
        self._stop_watcher()
        self._end_rest()
        supervisor.drain()
        self._look_at_memory(outcome)
        return self._finish(outcome)

    def _end_rest(self) -> None:
        """End what pid 1 could not, without a PID namespace or where bubblewrap was killed before it."""
        if self.plan["identity"] == b"separate":
            identity.end_all(self.uid)
        if self.scoped:
            end_scoped()
        if self.plan["rules"] is not None or self.bubblewrap:
            end_children()

    def _failed(self, error: BaseException | None, path: Any) -> int:
        number = error.errno or 0 if isinstance(error, OSError) else 0
        name = os.fsencode(path) if isinstance(path, (str, bytes)) else b""
        call = getattr(error, "syscall", "")
        self._stop_watcher()
        self.status.write(state="failed", stage=self.stage, syscall=call, path=name, errno=number)
        return 125

    def _limit(self) -> None:
        """Set up what keeps the limits from outside, while this process has the caller's rights and sees the host."""
        self.stage = "limits"
        watched, memory = self.plan["watched"], self.plan["watched"].get("memory")
        limits, mode = self.plan["limits"], self.plan["identity"]
        if memory is not None and not self._make_group(memory):
            limits["DATA"] = memory
        if mode == b"confined" and "NPROC" in limits:
            limits["NPROC"] += tasks_of(os.geteuid())
        if not (mode == b"confined" or (mode == b"shared" and os.geteuid() == 0)):
            watched.pop("processes", None)  # there the kernel counts: RLIMIT_NPROC does not bind root, fork(2)
        if watched:
            self.watcher = Watcher(watched, self.workspace, self.plan["writes"], self.group)
        _raise_oom_score()
        if self.group is not None:
            self.group.enter()

    def _stop_watcher(self) -> None:
        if self.watcher is not None:
            self.watcher.stop()
            self.watcher = None

    def _make_group(self, memory: int) -> bool:
        name = cgroup.PREFIX + os.urandom(6).hex().encode()
        # Said before it is made: whoever finds this workspace later is to remove it.
        self.status.write(cgroups=[os.path.join(parent, name) for parent, _ in cgroup.places()])
        self.group = cgroup.make(memory, name)
        return self.group is not None

    def _look_at_memory(self, outcome: dict[str, Any]) -> None:
        """Say that it was the memory, where the hook failed and the kernel has killed one of its processes for it."""
        if self.group is not None and outcome.get("code") and not outcome["limit"] and self.group.killed():
            outcome["limit"] = "memory"

    def _enter(self, operations: list[Operation]) -> tuple[identity.Entered, bytes]:
        """Take on the identity that the plan asks for, enter the namespaces, and say where the root can be mounted."""
        mode = self.plan["identity"]
        entered = identity.ENTER[mode](self.plan, operations, self._take_uid())
        self.uid = entered.uid
        if self.plan["rules"] is not None:
            # There is no PID namespace that ends with us: whoever is left over is to be ours to end.
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        if mode == b"confined":
            syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
            self.scoped = landlock.scope_signals()
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
        kill(self.pid, _signal.SIGKILL)

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
            if self.watcher is not None:
                self.watcher.release()
            if self.group is not None:
                self.group.close()
            init(write).run(argv, leash)
        os.close(write)
        os.close(leash)
        if self.streams is not None:
            self.streams.release()
        self.held = held
        if self.group is not None:
            self.group.leave()
        return report

    def _supervise(self, pid: int) -> None:
        """Tell who pid 1 is, if there is one, and forward signals to it from now on."""
        if pid:
            self.pid = pid
            self.status.write(pid=pid, born=start_time(pid))
            if self.watcher is not None:
                self.watcher.follow(pid)
        for number in _FORWARDED:
            _signal.signal(number, lambda number, _frame: kill(self.pid, number))
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


def _raise_oom_score() -> None:
    """Have the kernel, where memory runs out, end the sandbox before anything else, proc_pid_oom_score_adj(5)."""
    try:
        fd = os.open(b"/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"1000")
        finally:
            os.close(fd)
    except OSError:
        pass  # within another sandbox, behind a read-only /proc: there it has been raised already
