"""The supervisor watches pid 1, the frontend, the clock and the output, and listens to the watching process.

It waits in one place, poll(2), and never anywhere else while a hook runs: every limit and the end with the frontend
depend on that. So it reads without blocking what a hook can read or fill too, and writes as :mod:`.streams` says.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing signal imports enum: ten milliseconds
import os
import select
import time

from . import pipes
from .streams import Streams
from .watcher import Watcher

if False:
    from typing import Any

# Seconds between SIGTERM and SIGKILL after the hook has exceeded a time limit.
_GRACE = 5.0
# Seconds that the caller has to read the rest of the output of an ended hook, before we widen the caller's pipes.
_PATIENCE = 0.5
_TIMES = frozenset(("wall_time", "idle_time", "cpu_time"))


class Supervisor:
    """The launcher's loop while a hook runs.

    :param pid: pid 1 of the sandbox
    :param report: descriptor of the pipe on which pid 1 reports
    :param alive: descriptor of the FIFO whose other end only the frontend holds
    :param limits: ``wall_time`` and ``idle_time`` in seconds and ``log_size`` in bytes, each only if it is set
    :param streams: the output to copy, or ``None``
    :param watcher: the watching process, or ``None``
    """

    def __init__(
        self,
        pid: int,
        report: int,
        alive: int,
        limits: dict[str, Any],
        streams: Streams | None,
        watcher: Watcher | None,
    ) -> None:
        self.pid = pid
        self.report = report
        self.inbox = pipes.Inbox(report)
        self.alive = alive
        self.guards = {alive}  # when one of these ends or hangs up, we kill the hook
        self.default_stage = "pid 1 of the sandbox"  # the stage that failed if nobody reports a failure
        self.streams = Streams.none() if streams is None else streams
        self.watcher = watcher
        self.proxy = -1  # the descriptor of the channel to it, which hangs up when it ends; -1 if there is none
        self.outcome: dict[str, Any] = {}
        self.limit = ""
        self.nothing_left = False  # the process that we wait for has ended as it should, so all others have
        self._log_size = limits.get("log_size")
        self._idle_time = limits.get("idle_time") if streams is not None else None
        now = time.monotonic()
        self._last_output = now
        self._end = now + limits["wall_time"] if "wall_time" in limits else None
        self._force: float | None = None

    def watch(self) -> dict[str, Any]:
        """Return the facts for the status file, after every process of the PID namespace has died."""
        while not self.inbox.ended:
            events = self._wait(self._seconds_to_wait())
            self._check_clock()
            for guard in events.keys() & self.guards:
                self._kill()
                self.guards.remove(guard)
            if self.watcher is not None and self.watcher.fd in events:
                self._listen()
            if self.proxy in events:
                # A hook that has lost its way out fails for another reason than it seems to.
                self._exceeded("proxy")
            self._copy(events)
            if self.report in events:
                self._read()
        if self.watcher is not None:
            self.watcher.end()  # pid 1 has closed the pipe, so nothing of the hook is left to measure
        # waitpid(2) returns after the kernel has ended and reaped every process of the namespace, pid_namespaces(7).
        try:
            _, status, used = os.wait4(self.pid, 0)
            self.nothing_left = status == 0
            # Of pid 1 and of all that it, or the guard in its place, has waited for.
            self.outcome["usage"] = (used.ru_utime, used.ru_stime, used.ru_maxrss * 1024)
        except ChildProcessError:
            pass  # it is bubblewrap's child, and we wait for bubblewrap later
        if "state" not in self.outcome:
            # Pid 1 did not report its end, so something killed it: together with the hook, or before the hook started.
            killed = {"state": "exited", "code": -int(_signal.SIGKILL)}
            failed = {"state": "failed", "stage": self.default_stage, "syscall": "", "path": b"", "errno": 0}
            self.outcome.update(killed if self.outcome.get("running") or self.limit else failed)
        return {**self.outcome, "limit": self.limit}

    def drain(self) -> None:
        """Copy the remaining output. All writers are dead, so this ends, unless the caller stops reading."""
        if self.streams.sources and not self._copy_rest(_PATIENCE):
            # A hook can hand its end to a process outside. Nobody waits for that one.
            self.streams.close_silent()
            self.streams.widen()
            seconds = None if self._end is None else max(0.0, self._end - time.monotonic())
            self._copy_rest(0.0 if self.limit else seconds)

    def _copy_rest(self, patience: float | None) -> bool:
        """Copy until the end. Return False if before that nothing moves for ``patience`` seconds."""
        while self.streams.sources:
            events = self._wait(patience, ended=True)
            if self.alive not in self.guards or self.alive in events:
                return True
            if not events:
                return False
            self._copy(events)
        return True

    def _wait(self, seconds: float | None, *, ended: bool = False) -> dict[int, int]:
        poll = select.poll()
        for guard in self.guards:
            # Nobody writes to the FIFO, so it only ever reports POLLHUP. The pidfd of an ended process is readable,
            # pidfd_open(2).
            poll.register(guard, select.POLLIN)
        if not ended:
            poll.register(self.report, select.POLLIN)
            if self.watcher is not None and not self.limit:
                poll.register(self.watcher.fd, select.POLLIN)
            if self.proxy >= 0 and not self.limit:
                poll.register(self.proxy, select.POLLIN)
        for fd, event in self.streams.interests():
            poll.register(fd, event)
        return dict(poll.poll(None if seconds is None else seconds * 1000))

    def _seconds_to_wait(self) -> float | None:
        """Return the seconds until we have to check the clock."""
        ends = [self._force] if self.limit else [self._end, self._idle_end()]
        moments = [end for end in ends if end is not None]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _idle_end(self) -> float | None:
        # A hook that waits for somebody to read its output is not idle.
        if self._idle_time is None or self.streams.is_waiting():
            return None
        return self._last_output + float(self._idle_time)

    def _check_clock(self) -> None:
        now, idle_end = time.monotonic(), self._idle_end()
        if self._force is not None and now >= self._force:
            self._kill()
            self._force = None
        if self._end is not None and now >= self._end:
            self._exceeded("wall_time")
        if idle_end is not None and now >= idle_end:
            self._exceeded("idle_time")

    def _exceeded(self, limit: str) -> None:
        """End the hook. We ask it first only after a time limit; otherwise it would just go on exceeding the limit."""
        if self.limit:
            return
        self.limit = limit
        if limit in _TIMES:
            kill(self.pid, _signal.SIGTERM)
            self._force = time.monotonic() + _GRACE
        else:
            self._kill()

    def _kill(self) -> None:
        kill(self.pid, _signal.SIGKILL)

    def _listen(self) -> None:
        assert self.watcher is not None
        # Without a watcher nobody enforces its limits, so the hook does not go on without one.
        self._exceeded(self.watcher.hear() or "watcher")

    def _copy(self, events: dict[int, int]) -> None:
        waiting = self.streams.is_waiting()
        if self.streams.move(events) or waiting:
            self._last_output = time.monotonic()
        if self._log_size is not None and self.streams.moved > self._log_size:
            self._exceeded("log_size")
            self.streams.close()

    def _read(self) -> None:
        for kind, *values in self.inbox.receive():
            if kind == "exited":
                self.outcome = {**self.outcome, "state": "exited", "code": values[0]}
            elif kind == "dropped":
                self.outcome["dropped"] = values[0]
            elif kind == "degraded":
                self.outcome.setdefault("degraded", {})[values[0]] = values[1]
            elif kind == "home":
                self.outcome["home"] = values[0]
            elif kind == "tried":
                self.outcome["tried"], self.outcome["full"], self.outcome["names"] = values
            elif kind == "seen":
                self.outcome.setdefault("seen", []).append(tuple(values))
            elif kind == "running":
                self.outcome["running"] = True
            elif kind == "failed":
                self.outcome = dict(zip(("stage", "syscall", "path", "errno"), values, strict=True), state="failed")


def kill(pid: int, number: int) -> None:
    """Send a signal to pid 1, unless bubblewrap has just reaped it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
