"""The launcher runs between the frontend's runner and pid 1, outside the PID namespace.

It sets the limits, takes the identity, enters the namespaces, starts pid 1, forwards signals, and ends as the hook did.
It ends when the frontend does: the parent-death signal tells it, or, if another process stands between the two, a FIFO
that only the frontend holds open for writing.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing signal imports enum: ten milliseconds
import marshal
import os
from errno import EAGAIN

from . import cgroup, identity, landlock, mounts, privileges, syscalls
from .ending import end_children, end_scoped, is_held
from .forking import fork
from .init import FORWARDED, Init
from .operations import Limits, from_wire
from .status import StatusFile, start_time
from .streams import Streams, Target, targets
from .supervisor import Supervisor, kill
from .watcher import Watcher

if False:
    from collections.abc import Callable
    from typing import Any

    from .operations import Operation


def main(arguments: list[str]) -> int:
    """Run ``WORKSPACE -- COMMAND...`` in namespaces that we create, or without any. Return its exit code."""
    return launch(Launch, arguments)


def launch(kind: Callable[[dict[str, Any], bytes, int], Launch], arguments: list[str]) -> int:
    """Run ``WORKSPACE -- COMMAND...`` with this kind of launch. Return its exit code."""
    workspace, argv = os.fsencode(arguments[0]), [os.fsencode(a) for a in arguments[2:]]
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    with open(workspace + b"/plan", "rb") as file:
        plan = marshal.loads(file.read())  # load() reads byte by byte
    alive = os.open(workspace + b"/alive", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return kind(plan, workspace, alive).run(argv)


class Launch:
    """One launch of one plan. Another kind of launcher overrides :meth:`start`, and other methods as needed."""

    def __init__(self, plan: dict[str, Any], workspace: bytes, alive: int) -> None:
        self.plan = plan
        self.workspace = workspace
        self.alive = alive
        self.status = StatusFile(workspace + b"/status")
        self.stage = "reading the plan"
        self.pid = 0
        self.parent = os.getppid()
        self.targets: list[Target] = []
        self.streams: Streams | None = None
        self.watcher: Watcher | None = None
        self.group: cgroup.Group | None = None
        self.uid = 0
        self.scoped = False
        self.channel = -1  # to the proxy, for as long as this process lives

    def run(self, argv: list[bytes]) -> int:
        """Set up, start pid 1 and wait for its end. Return the exit code of the hook."""
        self._watch_parent()
        operations = [from_wire(name, values) for name, values in self.plan["operations"]]
        try:
            self.stage = "limits"
            self.plan["files"] = privileges.raise_files()
            if argv:
                self._limit()
                self.targets = [] if self.plan["terminal"] else targets()
                self._connect_to_proxy()
            report = self.start([self._of_group(operation) for operation in operations], argv)
        except mounts.OperationError as error:
            return self._failed(error.__cause__, error.operation.at)
        except privileges.ShortageError as error:
            return self._failed(OSError(EAGAIN, ""), None, reason=str(error))
        except OSError as error:
            return self._failed(error, getattr(error, "path", None) or error.filename)
        supervisor = self.supervisor(report)
        supervisor.proxy = self.channel
        outcome = supervisor.watch()
        self._stop_watcher()
        if not supervisor.nothing_left:
            self.end_rest()
        supervisor.drain()
        self._check_memory(outcome)
        return self._finish(outcome)

    def start(self, operations: list[Operation], argv: list[bytes]) -> int:
        """Enter new namespaces, or confine this process, and start pid 1.

        :return: the descriptor for the reports of pid 1
        """
        init = self._init()
        entered, root_path = self._enter(operations)
        report = self.fork(lambda report: init(self.plan, operations, entered, root_path, report), argv)
        for tree in entered.trees.values():
            os.close(tree)
        self.follow(self.pid)
        return report

    def supervisor(self, report: int) -> Supervisor:
        """Return the supervisor, which stays with pid 1 until it has ended."""
        return Supervisor(self.pid, report, self.alive, self.plan["supervised"], self.streams, self.watcher)

    def end_rest(self) -> None:
        """End the processes of the hook, if no PID namespace has ended them and somebody has killed the guard."""
        if not self.plan["confined"]:
            return
        if self.plan["identity"]["throw_away"]:
            identity.end_all(self.uid)
        if self.scoped:
            end_scoped()
        end_children()

    def _failed(self, error: BaseException | None, path: Any, *, reason: str = "") -> int:
        number = error.errno or 0 if isinstance(error, OSError) else 0
        name = os.fsencode(path) if isinstance(path, (str, bytes)) else b""
        call = getattr(error, "syscall", "")
        self._stop_watcher()
        self.status.write(state="failed", stage=self.stage, syscall=call, path=name, errno=number, reason=reason)
        return 125

    def _connect_to_proxy(self) -> None:
        if self.plan["proxied"]:
            from . import wayout  # only here: each import costs every hook

            self.stage = wayout.STAGE
            self.channel = wayout.connect(self.workspace).detach()
            self.plan["channel"] = self.channel

    def _limit(self) -> None:
        """Set up the limits that we enforce from outside, while this process has the caller's rights and view."""
        limits, watched = self.plan["limits"], self.plan["watched"]
        memory = watched.get("memory")
        if memory is not None and not self._make_group(memory):
            limits["DATA"] = memory
        if self.plan["identity"]["counts_callers"] and "NPROC" in limits:
            from .measures import tasks_of

            limits["NPROC"] += tasks_of(os.geteuid())
        if watched:
            self.watcher = Watcher(watched, self.workspace, self.plan["writes"], self.group)
        _raise_oom_score()
        if self.group is not None:
            self.group.enter()

    def _of_group(self, operation: Operation) -> Operation:
        """Return an operation that shows limits for the cgroup that this process is in by now."""
        if self.group is None or not isinstance(operation, Limits):
            return operation
        if os.path.dirname(self.group.path) == os.fsencode(operation.source):
            return Limits(operation.at, self.group.path, operation.files)
        return operation

    def _stop_watcher(self) -> None:
        if self.watcher is not None:
            self.watcher.stop()
            self.watcher = None

    def _make_group(self, memory: int) -> bool:
        name = cgroup.PREFIX + os.urandom(6).hex().encode()
        # We write the path before we create the cgroup. If we are killed, the next frontend finds it and removes it.
        self.status.write(cgroups=[os.path.join(parent, name) for parent, _ in cgroup.parents()])
        self.group = cgroup.make(memory, name)
        return self.group is not None

    def _check_memory(self, outcome: dict[str, Any]) -> None:
        """Blame the memory limit if the hook failed and the kernel has killed one of its processes for that limit."""
        if self.group is not None and outcome.get("code") and not outcome["limit"] and self.group.killed():
            outcome["limit"] = "memory"

    def _enter(self, operations: list[Operation]) -> tuple[identity.Entered, bytes]:
        """Take the identity of the plan and enter the namespaces.

        :return: the identity as it is now, and the directory to mount the new root at
        """
        entered = identity.ENTER[self.plan["identity"]["enter"]](self.plan, operations, self.take_uid())
        self.uid = entered.uid
        if self.plan["confined"]:
            self._confine()
        self._watch_parent()  # changes of credentials have disarmed the signal, prctl(2)
        # If we have opened the trees as the caller, this process can no longer reach the workspace.
        return entered, mounts.reachable_directory() if entered.trees else self.workspace + b"/root"

    def _confine(self) -> None:
        # No PID namespace ends with us, so orphaned processes of the hook have to become our children: we end them.
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        if not self.plan["identity"]["throw_away"]:
            syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
            self.scoped = landlock.scope_signals()

    def _init(self) -> type[Init]:
        if self.plan["confined"]:
            from .confined import Confined  # only here: each import costs every hook

            return Confined
        return Init

    def take_uid(self) -> int:
        """Return the uid of the hook: a throw-away uid if the plan has one, otherwise the caller's."""
        self.stage = "identity"
        traits = self.plan["identity"]
        if not traits["throw_away"]:
            return os.geteuid()
        if not traits["leaves_files"]:
            privileges.require_files()  # the view is idmapped
        # The lock stays open until the last process of the sandbox has ended.
        uid, self.lock = identity.take_uid()
        if traits["leaves_files"]:
            self.status.write(files_of=uid, confined=self.plan["confined"])
        return uid

    def _watch_parent(self) -> None:
        """End, with all our processes, when the parent or the frontend ends.

        The signal comes when the *thread* that started us ends, prctl(2), so the handler checks the process.
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

    def fork(self, init: Callable[[int], Init], argv: list[bytes]) -> int:
        """Fork the process that is or becomes pid 1. Block signals until :meth:`follow`.

        :param init: returns pid 1 for the descriptor that it writes reports to
        :return: the descriptor to read its reports from
        """
        self.stage = "starting pid 1"
        leash, leash_write = os.pipe()
        report, write = os.pipe()
        if not self.plan["terminal"] and argv:
            self.streams = Streams(self.targets)
        _signal.pthread_sigmask(_signal.SIG_BLOCK, FORWARDED)
        self.pid = fork()
        if self.pid == 0:
            _signal.signal(_signal.SIGUSR1, _signal.SIG_DFL)
            os.close(leash_write)
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
        self.leash_write = leash_write  # stays open as long as this process lives
        if self.group is not None:
            self.group.leave()
        return report

    def follow(self, pid: int) -> None:
        """Record pid 1, if it exists, and forward signals to it from now on."""
        if pid:
            self.pid = pid
            self.status.write(pid=pid, born=start_time(pid))
            if self.watcher is not None:
                self.watcher.follow(pid)
        for number in FORWARDED:
            _signal.signal(number, lambda number, _frame: kill(self.pid, number))
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, FORWARDED)

    def _finish(self, outcome: dict[str, Any]) -> int:
        self.status.write(**outcome)
        if outcome["state"] == "failed":
            return 125
        code: int = outcome["code"]
        if code < 0:
            # End by the same signal, as the frontend's runner would see it without us. Do not dump core a second time.
            privileges.limit({})
            _signal.signal(-code, _signal.SIG_DFL) if -code not in (_signal.SIGKILL, _signal.SIGSTOP) else None
            os.kill(os.getpid(), -code)
        return code


def _raise_oom_score() -> None:
    """Make the sandbox the first victim of the kernel when memory runs out, proc_pid_oom_score_adj(5)."""
    try:
        fd = os.open(b"/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"1000")
        finally:
            os.close(fd)
    except OSError:
        pass  # in another sandbox, behind a read-only /proc: the score is raised there already
