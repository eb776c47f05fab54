"""Check that the sandbox supports this platform at all."""

from __future__ import annotations

import os
import platform
import sys

from ..errors import SandboxUnavailableError
from ..sandbox.numbers import MACHINES

__all__ = ["check_platform"]

_MINIMUM = (5, 12)  # mount_setattr(2)


def check_platform() -> None:
    """Check the platform without trying anything.

    :raises SandboxUnavailableError: the sandbox cannot work here
    """
    if sys.platform != "linux":
        raise SandboxUnavailableError(
            [f"this is {platform.system() or sys.platform}, and the sandbox needs Linux namespaces"],
            "build on Linux, for instance in a virtual machine or a container on this host",
        )
    if platform.machine() not in MACHINES:
        raise SandboxUnavailableError(
            [f"there is no system call filter for {platform.machine()}"], f"build on {' or '.join(MACHINES)}"
        )
    try:
        os.readlink("/proc/self")
    except OSError as error:
        raise SandboxUnavailableError(
            ["/proc is not mounted, or it belongs to a PID namespace that does not contain this process"],
            "mount /proc: mount -t proc proc /proc, or start unshare(1) with --mount-proc",
        ) from error
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2] if part.isdigit())
    if release < _MINIMUM:
        raise SandboxUnavailableError(
            [f"Linux {platform.release()} has no mount_setattr(2)"], "use Linux 5.12 or newer"
        )
