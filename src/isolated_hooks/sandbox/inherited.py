"""What a process takes over from whoever started it, made what every program expects."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum: ten milliseconds
import os

from . import syscalls


def settle() -> None:
    """Open what is closed of descriptors 0, 1 and 2, and have children be waited for.

    A daemon may have closed some of the three: the next file that is opened gets that number, and would be taken for
    the caller's output. Where SIGCHLD is ignored, children are gone before anybody can wait for them, waitpid(2).
    """
    while True:
        fd = os.open("/dev/null", os.O_RDWR)
        if fd > 2:
            os.close(fd)
            break
        os.set_inheritable(fd, True)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def hold_only(*fds: int) -> None:
    """Close everything but some descriptors, which become 0, 1 and so on.

    For a process that stays beside a hook: whoever reads the hook's output waits for the end of all who hold it.
    """
    # Beyond the reach of 0 and 1, so that neither replaces the other.
    high = [os.dup(os.dup(os.dup(fd))) for fd in fds]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=False)
    syscalls.close_from(len(high))
