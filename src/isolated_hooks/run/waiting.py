"""Wait for the end of a sandbox whose parent is another process."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from typing import Any

from ..errors import SandboxSetupError
from ..sandbox.status import start_time

__all__ = ["wait_for_end"]

_SECONDS = 30.0


def wait_for_end(status: Mapping[str, Any]) -> None:
    """Wait at most 30 seconds until pid 1 of the sandbox, and therefore every process in it, is dead.

    An interrupted runner of a frontend kills the launcher, and then the kernel needs some time to end the others.

    :param status: the launcher's status. ``pid`` is the process, and ``born`` its start time, which distinguishes it
        from a later process with the same number. Without ``pid`` there is nothing to wait for.
    :raises SandboxSetupError: it is still alive then, so nobody may use what its processes could still change
    """
    pid, born = status.get("pid"), status.get("born")
    if pid is None:
        return
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return  # the process has ended
    try:
        if start_time(pid) == born:
            poll = select.poll()
            poll.register(fd, select.POLLIN)  # readable once the process has ended, pidfd_open(2)
            if not poll.poll(_SECONDS * 1000):
                reason = f"process {pid} is still alive {_SECONDS:.0f} seconds after the launcher has ended"
                raise SandboxSetupError("waiting for the end of the sandbox", reason=reason)
    finally:
        os.close(fd)
