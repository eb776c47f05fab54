"""Waiting for a sandbox that this process is not the parent of."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from typing import Any

from ..sandbox.status import start_time

__all__ = ["wait_for_end"]

_SECONDS = 30.0


def wait_for_end(status: Mapping[str, Any]) -> None:
    """Wait until pid 1 of the sandbox, and so every process in it, is dead.

    Where the frontend's runner was interrupted it has killed the launcher, and the kernel is still ending the rest.

    :param status: what the launcher said: ``pid`` and ``born``, the start time that tells it from a later process
    """
    pid, born = status.get("pid"), status.get("born")
    if pid is None:
        return
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return  # it is gone
    try:
        if start_time(pid) == born:
            poll = select.poll()
            poll.register(fd, select.POLLIN)  # readable once the process has ended, pidfd_open(2)
            poll.poll(_SECONDS * 1000)
    finally:
        os.close(fd)
