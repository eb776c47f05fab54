"""The guard: a process between the launcher and the processes that no PID namespace ends with it.

If somebody kills the launcher, the guard ends everything. If somebody kills the guard, the launcher does. A hook can
signal neither, except where it has the caller's uid and Landlock is older than ABI 6; the report says so. The guard has
a session of its own, because a frontend's runner may kill the launcher's whole process group, killpg(2).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing signal imports enum: ten milliseconds
import os
import select

from . import inherited, syscalls
from .ending import die_with_parent
from .forking import fork
from .init import FORWARDED

if False:
    from collections.abc import Callable


def leave_guard(leash: int, end: Callable[[], None]) -> None:
    """Go on in a child. This process stays, until the child or the launcher ends, and then ends what is left.

    It inherits every process that loses its parent, and passes signals on to the child. It exits with 0 once nothing is
    left.

    :param leash: the read end of a pipe; only the launcher holds the other end
    :param end: ends all processes that the child has started, and waits for them
    """
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 0)
    pid = fork()
    if pid == 0:
        die_with_parent(leash)
        return
    code = 1
    try:
        os.setsid()
        inherited.hold_only(leash, os.pidfd_open(pid))
        for number in FORWARDED:
            _signal.signal(number, lambda number, _frame: _forward(1, number))
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, FORWARDED)
        poll = select.poll()
        poll.register(0, 0)  # only POLLHUP, which poll(2) always reports
        poll.register(1, select.POLLIN)
        poll.poll()
        end()
        code = 0
    finally:
        os._exit(code)


def _forward(pidfd: int, number: int) -> None:
    try:
        _signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass  # it has just ended
