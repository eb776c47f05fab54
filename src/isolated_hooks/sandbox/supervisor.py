"""The supervisor: it watches pid 1, the frontend, the clock and the output, and hears the watching process."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum: ten milliseconds
import os
import select
import time

from . import pipes
from .streams import Streams
from .watcher import Watcher

if False:
    from typing import Any

# Seconds between asking and forcing, when a limit of time has run out.
_GRACE = 5.0
# Seconds for which the output of a hook that has ended is held out to a reader, before more is done about it.
_PATIENCE = 0.5
_TIMES = frozenset(("wall_time", "idle_time", "cpu_time"))


class Supervisor:
    """See the module.

    :param pid: pid 1 of the sandbox; :param report: where it reports
    :param alive: the FIFO that only the frontend holds
    :param limits: ``wall_time``, ``idle_time`` and ``log_size``, each where there is one
    :param streams: what is to be copied; :param watcher: whom to listen to
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
        self.alive = alive
        self.guards = {alive}  # when one of them has ended, or hung up, everything ends
        self.untold = "pid 1 of the sandbox"  # what has failed where nobody says so
        self.streams = Streams.none() if streams is None else streams
        self.watcher = watcher
        self.outcome: dict[str, Any] = {}
        self.limit = ""
        self._log_size = limits.get("log_size")
        self._idle_time = limits.get("idle_time") if streams is not None else None
        now = time.monotonic()
        self._last_output = now
        self._end = now + limits["wall_time"] if "wall_time" in limits else None
        self._force: float | None = None

    def watch(self) -> dict[str, Any]:
        """Return what the status file is to say, after every process of the PID namespace is dead."""
        reporting = True
        while reporting:
            events = self._wait(self._left())
            self._look_at_the_clock()
            for guard in events.keys() & self.guards:
                self._kill()
                self.guards.remove(guard)
            if self.watcher is not None and self.watcher.fd in events:
                self._listen()
            self._copy(events)
            if self.report in events:
                reporting = self._read()
        # waitpid(2) returns after the kernel has ended and reaped every process of the namespace, pid_namespaces(7).
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # it is bubblewrap's child, which is waited for later
        if "state" not in self.outcome:
            # Without a word about its end, pid 1 was killed: with the hook, or before there was one.
            killed = {"state": "exited", "code": -int(_signal.SIGKILL)}
            failed = {"state": "failed", "stage": self.untold, "syscall": "", "path": b"", "errno": 0}
            self.outcome.update(killed if self.outcome.get("running") or self.limit else failed)
        return {**self.outcome, "limit": self.limit}

    def drain(self) -> None:
        """Copy what is still to be read. All writers are dead, so this ends, unless nobody takes it."""
        if self.streams.sources and not self._copy_rest(_PATIENCE):
            self.streams.widen()
            left = None if self._end is None else max(0.0, self._end - time.monotonic())
            self._copy_rest(0.0 if self.limit else left)

    def _copy_rest(self, patience: float | None) -> bool:
        """Copy until there is no more, and say whether it came to that before nothing moved for so many seconds."""
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
            # Of the FIFO, which nobody writes to, POLLHUP alone; a process that has ended is readable, pidfd_open(2).
            poll.register(guard, select.POLLIN)
        if not ended:
            poll.register(self.report, select.POLLIN)
            if self.watcher is not None and not self.limit:
                poll.register(self.watcher.fd, select.POLLIN)
        for fd, event in self.streams.interests():
            poll.register(fd, event)
        return dict(poll.poll(None if seconds is None else seconds * 1000))

    def _left(self) -> float | None:
        """Return the seconds until the clock has to be looked at."""
        ends = [self._force] if self.limit else [self._end, self._idle_end()]
        found = [end for end in ends if end is not None]
        return max(0.0, min(found) - time.monotonic()) if found else None

    def _idle_end(self) -> float | None:
        # A hook that waits until somebody reads what it has said is not idle.
        if self._idle_time is None or self.streams.is_waiting():
            return None
        return self._last_output + float(self._idle_time)

    def _look_at_the_clock(self) -> None:
        now, idle_end = time.monotonic(), self._idle_end()
        if self._force is not None and now >= self._force:
            self._kill()
            self._force = None
        if self._end is not None and now >= self._end:
            self._exceeded("wall_time")
        if idle_end is not None and now >= idle_end:
            self._exceeded("idle_time")

    def _exceeded(self, limit: str) -> None:
        """End the hook: after a limit of time it is asked first, after any other it only would go on with it."""
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
        # A watcher that is gone sees nothing any more: the hook does not go on without.
        self._exceeded(self.watcher.hear() or "watcher")

    def _copy(self, events: dict[int, int]) -> None:
        waiting = self.streams.is_waiting()
        if self.streams.move(events) or waiting:
            self._last_output = time.monotonic()
        if self._log_size is not None and self.streams.moved > self._log_size:
            self._exceeded("log_size")
            self.streams.close()

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


def kill(pid: int, number: int) -> None:
    """Send a signal to pid 1; where bubblewrap has just reaped it, to nobody."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
