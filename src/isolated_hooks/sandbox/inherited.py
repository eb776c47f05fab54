"""State that a process inherits from its parent, normalised to the state that every program expects."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing signal imports enum: ten milliseconds
import os

from . import syscalls


def settle() -> None:
    """Open those of descriptors 0, 1 and 2 that are closed, and stop ignoring SIGCHLD.

    A daemon may have closed some of the three. The next file we open would get that number, and we would take it for
    the caller's output. If a process ignores SIGCHLD, the kernel reaps its children before it can wait for them,
    waitpid(2).
    """
    while True:
        fd = os.open("/dev/null", os.O_RDWR)
        if fd > 2:
            os.close(fd)
            break
        os.set_inheritable(fd, True)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def hold_only(*fds: int) -> None:
    """Renumber ``fds`` to 0, 1 and so on, and close all other descriptors.

    A process that stays beside a hook calls this, because the reader of the hook's output waits until every process
    that holds that output has ended.
    """
    # Three dup(2) lead beyond 0 and 1, so that neither descriptor replaces the other.
    high = [os.dup(os.dup(os.dup(fd))) for fd in fds]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=False)
    syscalls.close_from(len(high))
