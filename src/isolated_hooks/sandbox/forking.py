"""fork(2) that waits a moment if processes are short: in a build with many jobs, some end every instant."""

from __future__ import annotations

import os
import time
from errno import EAGAIN

from . import syscalls

# Seconds between the attempts, together 1.5.
_PAUSES = (0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.4, 0.5)


def fork() -> int:
    """Fork, and try again for a bounded time where the kernel has no process left for us, fork(2).

    :raises SyscallError: it has none after that time, or no memory
    """
    for pause in (*_PAUSES, None):
        try:
            return os.fork()
        except OSError as error:
            if error.errno != EAGAIN or pause is None:
                raise syscalls.SyscallError(error.errno or 0, "fork") from error
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")
