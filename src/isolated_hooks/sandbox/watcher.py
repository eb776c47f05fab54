"""The watching process keeps the caller's identity and view of the host, and measures the resources of the hook.

The launcher soon loses both. So it first starts the watcher, then tells it the pid of pid 1, and hears from it the name
of the limit that the hook exceeds. The watcher ends when the launcher does. When the watcher ends, the hook ends too.

A measurement is a sample: it misses everything that comes and goes between two samples, and it finds an excess only
after the fact. So the kernel's own limits come first where they exist. The limits here are for resources that the
kernel does not count, or does not add up over processes.

A hook can make a measurement slow: it can make many files or many processes, or hold the locks of its own memory while
we look at that. So each limit has a thread of its own, which waits for no other, and a bound on what it looks at.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing signal imports enum: ten milliseconds
import _thread
import os
import select
import time

from . import inherited, pids
from .cgroup import Group
from .forking import NO_THREAD, fork, start_thread

if False:
    from collections.abc import Callable, Iterator, Sequence

_PERIOD = 0.1
# After a measurement the watcher pauses for this many times its processor time, so that it uses at most a twentieth of
# a core. On a busy host a measurement waits for its turn; that time does not count, or a hook that loads the host would
# delay the next look.
_PAUSES = 20


class Watcher:
    """The launcher's end of the watching process.

    :param limits: the limits to watch, by name
    :param workspace: the workspace of this call
    :param trees: the other directories that the hook writes to
    :param group: a cgroup that enforces the memory limit; then we only check whether the kernel has killed a process
    :ivar fd: a descriptor that is readable when the watcher has a message or has ended
    """

    def __init__(
        self, limits: dict[str, int], workspace: bytes, trees: Sequence[bytes], group: Group | None = None
    ) -> None:
        orders, self._orders = os.pipe()
        self.fd, answers = os.pipe()
        counter = _open_counter() if "cpu_time" in limits else None
        self._is_ended = False
        self._pid = fork()
        if self._pid == 0:
            try:
                counter = _prepare(orders, answers, counter)
                from . import measures  # only here: the launcher need not wait for it

                _watch(measures.measures(limits, workspace, trees, group, counter), measures.members)
            finally:
                os._exit(0)
        os.close(orders)
        os.close(answers)
        if counter is not None:
            os.close(counter)

    def follow(self, pid: int) -> None:
        """Start the measurements, with pid 1 of the sandbox."""
        try:
            os.write(self._orders, b"%d" % pid)
        except BrokenPipeError:
            pass  # the watcher has ended, and hear() reports that

    def hear(self) -> str:
        """Return the name of the limit that the hook exceeds, or an empty text if the watcher has ended early."""
        return os.read(self.fd, 64).decode("ascii")

    def release(self) -> None:
        """Close this end, in a process other than the launcher."""
        os.close(self._orders)
        os.close(self.fd)

    def end(self) -> None:
        """End the watcher. It has kept the caller's identity, so we may not be allowed to signal it."""
        if not self._is_ended:
            self._is_ended = True
            self.release()

    def stop(self) -> None:
        """End the watcher and wait for it."""
        self.end()
        os.waitpid(self._pid, 0)


def _open_counter() -> int | None:
    from . import cputime  # only here: each import costs every hook

    try:
        return cputime.open_counter()
    except OSError:
        return None  # the host refuses it, so we add up


def _prepare(orders: int, answers: int, counter: int | None) -> int | None:
    """Keep only the pipes, as descriptors 0 and 1, and the counter, and ignore signals that would end us too early.

    :return: the new descriptor of the counter
    """
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT):
        _signal.signal(number, _signal.SIG_IGN)
    inherited.hold_only(orders, answers, *(() if counter is None else (counter,)))
    os.chdir("/")
    return None if counter is None else 2


def _repeat(name: str, exceeded: Callable[[int], bool], pid: int) -> None:
    """Check one limit again and again, until the hook exceeds it."""
    while True:
        start = time.thread_time()
        if exceeded(pid):
            os.write(1, name.encode("ascii"))
            return
        time.sleep(max(_PERIOD, _PAUSES * (time.thread_time() - start)))


def _watch(measures: dict[str, Callable[[int], bool]], members: Callable[[int], Iterator[int]]) -> None:
    """Measure until the launcher ends the watch, or has ended.

    :param measures: say whether the hook exceeds a limit, for the id of pid 1, by the name of the limit
    :param members: yields a process and its descendants
    """
    lock = _thread.allocate_lock()
    lock.acquire()
    pid = 0

    def measured(name: str) -> None:
        try:
            with lock:
                pass
            _repeat(name, measures[name], pid)
        except BaseException:
            os._exit(1)  # without this measurement there is no watch, so the launcher ends the hook

    for name in measures:
        try:
            # Before the hook starts: its processes may count against the same limit as ours.
            start_thread(measured, name)
        except RuntimeError:
            os.write(1, NO_THREAD)  # in the place of a limit's name
            return
    order = os.read(0, 16)
    if not order:
        return
    pid = pids.in_proc(int(order), members)
    lock.release()
    poll = select.poll()
    poll.register(0, 0)  # only POLLHUP, which poll(2) always reports
    poll.poll()
