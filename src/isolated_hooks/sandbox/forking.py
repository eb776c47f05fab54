"""Processes and threads that wait a moment if there are none left: with many jobs, some end every instant."""

from __future__ import annotations

import _thread
import os
import time
from errno import EAGAIN

from . import syscalls

if False:
    from collections.abc import Callable

#: The message of a process that has got no thread.
NO_THREAD = b"no thread"
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


def start_thread(function: Callable[..., object], *arguments: object) -> None:
    """Start a thread, and try again as :func:`fork` does.

    :raises RuntimeError: the kernel has none for us after that time
    """
    for pause in (*_PAUSES, None):
        try:
            _thread.start_new_thread(function, arguments)
        except RuntimeError:
            if pause is None:
                raise
            time.sleep(pause)
        else:
            return
