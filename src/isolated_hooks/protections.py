"""The protections, and the states that each can be in."""

from __future__ import annotations

import dataclasses
import enum

__all__ = ["Protection", "ProtectionState", "ProtectionStatus"]


class Protection(enum.Enum):
    """One promise to the user, kept by one or more means of the kernel. The value is its public name."""

    FILESYSTEM = "filesystem"
    TEMPORARY = "temporary"
    ENVIRONMENT = "environment"
    NETWORK = "network"
    PROCESSES = "processes"
    IPC = "ipc"
    HOSTNAME = "hostname"
    IDENTITY = "identity"
    PRIVILEGES = "privileges"
    SYSCALLS = "syscalls"
    TERMINAL = "terminal"
    KEYRING = "keyring"
    DESCRIPTORS = "descriptors"
    RESULTS = "results"


class ProtectionState(enum.Enum):
    """How far a protection holds."""

    ACTIVE = "active"
    DEGRADED = "degraded"
    DISABLED = "disabled"
    UNAVAILABLE = "unavailable"


@dataclasses.dataclass(frozen=True)
class ProtectionStatus:
    """The state of one protection, why it is so, and what would make it better."""

    protection: Protection
    state: ProtectionState
    reason: str
    remedy: str = ""
