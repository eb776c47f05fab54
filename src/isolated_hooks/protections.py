"""The protections, one row each, and the states that each can be in.

A row is all that the rest of the package knows of a protection: the policy, the plan, the remedies, the reference and
their tests read it here.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

__all__ = ["ROWS", "Held", "Promise", "Protection", "ProtectionRow", "ProtectionState", "ProtectionStatus"]


class ProtectionState(enum.Enum):
    """How far a protection holds."""

    ACTIVE = "active"
    DEGRADED = "degraded"
    DISABLED = "disabled"
    UNAVAILABLE = "unavailable"


class Promise(enum.Enum):
    """A promise of the threat model. The value is the sentence."""

    SEES = "A hook sees only the system, the build and what it is given; everything else does not exist."
    WRITES = "A hook writes only to the source tree, its outputs, its home and its temporary directories."
    REACHES = "A hook reaches no network and no socket of the host."
    PROCESSES = "A hook sees, signals and traces no process outside, leaves none behind, and dies with the frontend."
    PRIVILEGES = "A hook has no privileges, gains none, and inherits no terminal, key, descriptor or input."
    IDENTITY = "A hook of a frontend that is root runs as a user of its own."
    ENVIRONMENT = "A hook gets the environment that a build needs, and nothing that is secret."
    RESULTS = "A hook cannot make the frontend hang, crash, or read or write a file for it by what it returns."


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


@dataclasses.dataclass(frozen=True)
class ProtectionStatus:
    """The state of one protection, why it is so, and what would make it better."""

    protection: Protection
    state: ProtectionState
    reason: str
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class Held:
    """How a protection holds where there are no user namespaces: the words, and whether it is weaker there."""

    words: str
    weaker: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProtectionRow:
    """All there is to know of one protection.

    :ivar active: the reason of its state where it holds in namespaces
    :ivar promises: the promises of the threat model that it keeps
    :ivar needed: the weakest state that a policy accepts by default, ``None`` where it may be missing
    :ivar confined: how it holds without user namespaces, ``None`` where that makes no difference
    :ivar separate: the same where the hook has a throw-away uid there, ``None`` where it is as in ``confined``
    :ivar without_namespaces: ``no-namespaces`` in ``allow-degraded`` covers it
    :ivar remedy: what to do where a host has made it weaker
    :ivar stages: the stages of the child that set it up, as it reports them; only the host can be to blame in them
    """

    active: str
    promises: tuple[Promise, ...]
    needed: ProtectionState | None = ProtectionState.ACTIVE
    confined: Held | None = None
    separate: Held | None = None
    without_namespaces: bool = False
    remedy: str = ""
    stages: tuple[str, ...] = ()


#: The row of each protection, in the order in which reports name them.
ROWS: Mapping[Protection, ProtectionRow] = {
    Protection.FILESYSTEM: ProtectionRow(
        active="a root of its own, in which only what the hook needs is visible",
        promises=(Promise.SEES, Promise.WRITES),
        confined=Held(
            "what a hook may not open it can still stat, and change in mode and times where it is the owner; .git in "
            "the source tree can be written to",
            weaker=True,
        ),
        separate=Held(
            "what a hook may not open it can still stat and watch, and set the times of to now; .git in the source "
            "tree can be written to",
            weaker=True,
        ),
        without_namespaces=True,
        stages=("mounts",),
    ),
    Protection.TEMPORARY: ProtectionRow(
        active="empty /tmp, /var/tmp, /run, /dev/shm and home, gone afterwards",
        promises=(Promise.SEES, Promise.WRITES),
        confined=Held(
            "a home and a directory for temporary files of its own; the shared ones cannot be opened", weaker=True
        ),
        without_namespaces=True,
    ),
    Protection.ENVIRONMENT: ProtectionRow(
        active="variables of the caller are kept by a list of names",
        promises=(Promise.ENVIRONMENT,),
    ),
    Protection.NETWORK: ProtectionRow(
        active="a network namespace with nothing but its own loopback",
        promises=(Promise.REACHES,),
        confined=Held("no socket but unix ones can be made, so there is no loopback either"),
        stages=("network and host name",),
    ),
    Protection.PROCESSES: ProtectionRow(
        active="a PID namespace and a fresh /proc: no process outside is visible, none is left behind",
        promises=(Promise.PROCESSES, Promise.SEES),
        needed=ProtectionState.DEGRADED,
        confined=Held(
            "processes outside can be listed, not signalled or traced; what is left is killed at the end", weaker=True
        ),
        without_namespaces=True,
        remedy="start the container with --security-opt unmask=ALL, or systempaths=unconfined in docker",
        stages=("starting pid 1",),
    ),
    Protection.IPC: ProtectionRow(
        active="an IPC namespace, and no socket of the host is visible",
        promises=(Promise.REACHES,),
        confined=Held("no unix socket can be connected, and no System V or POSIX IPC be used"),
        # With the caller's network, Landlock before Linux 6.12 keeps no hook from the host's abstract sockets.
        without_namespaces=True,
        remedy="network = false, or Linux 6.12",
    ),
    Protection.HOSTNAME: ProtectionRow(
        active="a UTS namespace whose host name is localhost",
        promises=(Promise.REACHES,),
        needed=None,
        confined=Held("the host's own", weaker=True),
        without_namespaces=True,
        remedy="none is needed: the hook sees localhost in /etc/hostname and /etc/hosts",
        stages=("network and host name",),
    ),
    Protection.IDENTITY: ProtectionRow(
        # Reports say it in the words of the identity that the plan has.
        active="a user of its own: a throw-away uid for root, else the caller's own as the only one that is mapped",
        promises=(Promise.IDENTITY, Promise.WRITES, Promise.PRIVILEGES),
        needed=ProtectionState.DEGRADED,
        confined=Held("the caller's own user", weaker=True),
        separate=Held("a throw-away uid"),
        without_namespaces=True,
        remedy=(
            "give the container CAP_SETUID, CAP_SETGID, CAP_SETFCAP, CAP_CHOWN and CAP_DAC_OVERRIDE, or run it as an "
            "ordinary user"
        ),
        stages=("identity",),
    ),
    Protection.PRIVILEGES: ProtectionRow(
        active="no capability, an empty bounding set, no_new_privs, no further user namespace",
        promises=(Promise.PRIVILEGES,),
        confined=Held("no capability, no_new_privs"),
        separate=Held("CAP_DAC_OVERRIDE, confined by Landlock to what the hook may open; no_new_privs", weaker=True),
        without_namespaces=True,
        stages=("privileges",),
    ),
    Protection.SYSCALLS: ProtectionRow(
        active="a seccomp filter",
        promises=(Promise.PRIVILEGES, Promise.REACHES),
        stages=("system call filter",),
    ),
    Protection.TERMINAL: ProtectionRow(
        active="a new session without a controlling terminal, stdin from /dev/null",
        promises=(Promise.PRIVILEGES,),
        stages=("keyring and terminal",),
    ),
    Protection.KEYRING: ProtectionRow(
        active="a new, empty session keyring",
        promises=(Promise.PRIVILEGES,),
        needed=None,
        confined=Held("keyctl(2) is refused"),
        remedy="none is needed: keyctl(2) is refused to the hook",
        stages=("keyring and terminal",),
    ),
    Protection.DESCRIPTORS: ProtectionRow(
        active="no descriptor but 0, 1 and 2",
        promises=(Promise.PRIVILEGES, Promise.ENVIRONMENT),
        stages=("descriptors",),
    ),
    Protection.RESULTS: ProtectionRow(
        active="staging for every output, vetted after every process was dead",
        promises=(Promise.RESULTS,),
    ),
}
