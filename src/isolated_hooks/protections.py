"""The protections, one row each, and their states.

The policy, the plan, the remedies, the reference and their tests read everything that they know about a protection
from its row.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from .frozen import dataclass

__all__ = ["ROWS", "Held", "Promise", "Protection", "ProtectionRow", "ProtectionState", "ProtectionStatus"]


class ProtectionState(enum.Enum):
    """How far a protection holds. The value stands in reports.

    ``ACTIVE``: it holds in full. ``DEGRADED``: it holds in a weaker form. ``DISABLED``: the policy switches it off.
    ``UNAVAILABLE``: the host cannot give it.
    """

    ACTIVE = "active"
    DEGRADED = "degraded"
    DISABLED = "disabled"
    UNAVAILABLE = "unavailable"


class Promise(enum.Enum):
    """A promise of the threat model. The value is its sentence in ``docs/threat-model.rst``."""

    SEES = "A hook sees only the system, the build and what it is given; everything else does not exist."
    WRITES = "A hook writes only to the source tree, its outputs, its home and its temporary directories."
    REACHES = "A hook reaches no network and no socket of the host."
    PROCESSES = "A hook sees, signals and traces no process outside, leaves none behind, and dies with the frontend."
    PRIVILEGES = "A hook has no privileges, gains none, and inherits no terminal, key, descriptor or input."
    IDENTITY = "A hook of a frontend that is root runs as a user of its own."
    ENVIRONMENT = "A hook gets the environment that a build needs, and nothing that is secret."
    RESULTS = "A hook cannot make the frontend hang, crash, or read or write a file for it by what it returns."


class Protection(enum.Enum):
    """A protection, which one or more features of the kernel provide. The value is its name in policies and reports."""

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


@dataclass(frozen=True)
class ProtectionStatus:
    """The state of one protection.

    :ivar protection: the protection
    :ivar state: its state
    :ivar reason: why it has this state, in words
    :ivar remedy: how to improve the state, or empty
    """

    protection: Protection
    state: ProtectionState
    reason: str
    remedy: str = ""


@dataclass(frozen=True)
class Held:
    """How a protection holds on a host without user namespaces.

    :ivar words: the reason of its state
    :ivar weaker: it is degraded there
    """

    words: str
    weaker: bool = False


@dataclass(frozen=True, kw_only=True)
class ProtectionRow:
    """The row of one protection.

    :ivar active: the reason of its state when namespaces provide it in full
    :ivar promises: the promises of the threat model that it helps to keep
    :ivar needed: the weakest state that a policy accepts by default; ``None`` if it may be missing
    :ivar confined: how it holds without user namespaces; ``None`` if that makes no difference
    :ivar separate: the same if the hook has a throw-away uid there; ``None`` if that makes no difference
    :ivar without_namespaces: ``no-namespaces`` in ``allow-degraded`` covers it
    :ivar remedy: how to improve the state on a host that weakens it
    :ivar stages: the stages in which the child sets it up, as the child reports them; a failure there is the host's
    """

    active: str
    promises: tuple[Promise, ...]
    needed: ProtectionState | None = ProtectionState.ACTIVE
    confined: Held | None = None
    separate: Held | None = None
    without_namespaces: bool = False
    remedy: str = ""
    stages: tuple[str, ...] = ()


#: The row of each protection. Reports use the same order.
ROWS: Mapping[Protection, ProtectionRow] = {
    Protection.FILESYSTEM: ProtectionRow(
        active="a root filesystem of its own, which shows only what the hook needs",
        promises=(Promise.SEES, Promise.WRITES),
        confined=Held(
            "what a hook may not open it can still stat, and change in mode, group and times where it is the owner; "
            ".git in the source tree can be written to",
            weaker=True,
        ),
        separate=Held(
            "what a hook may not open it can still stat, and set the times of to now; .git in the source tree can be "
            "written to",
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
        active="a list of names decides which of the caller's variables the hook gets",
        promises=(Promise.ENVIRONMENT,),
    ),
    Protection.NETWORK: ProtectionRow(
        active="a network namespace that has only its own loopback interface",
        promises=(Promise.REACHES,),
        confined=Held("a hook can create only pairs of connected unix sockets, so it has no loopback either"),
        stages=("network and host name",),
    ),
    Protection.PROCESSES: ProtectionRow(
        active="a PID namespace and a fresh /proc: the hook sees no process outside and leaves none behind",
        promises=(Promise.PROCESSES, Promise.SEES),
        needed=ProtectionState.DEGRADED,
        confined=Held(
            "the hook reads the host's /proc as far as its user may: the command lines, mounts and descriptor numbers "
            "of processes outside, and the connections in /proc/net, but no memory, environment or open file; it can "
            "neither signal nor trace them; what is left is killed at the end",
            weaker=True,
        ),
        separate=Held(
            "the hook reads the host's /proc as far as root may: the command lines, mounts and descriptor numbers of "
            "processes outside, the connections in /proc/net, and files such as slabinfo, but no memory, environment "
            "or open file; it can neither signal nor trace them; what is left is killed at the end",
            weaker=True,
        ),
        without_namespaces=True,
        remedy="start the container with --security-opt unmask=ALL, or systempaths=unconfined in docker",
        stages=("starting pid 1",),
    ),
    Protection.IPC: ProtectionRow(
        active="an IPC namespace, and no unix socket but those that were bound inside",
        promises=(Promise.REACHES,),
        confined=Held("a hook can connect no unix socket, and use no System V or POSIX IPC"),
        # With the caller's network, Landlock before Linux 6.12 cannot keep a hook from the host's abstract sockets.
        without_namespaces=True,
        remedy="set network = false, or use Linux 6.12 or later",
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
        # Reports use the words of the plan's identity instead.
        active="a user of its own: a throw-away uid if the caller is root, otherwise the caller's, the only mapped uid",
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
        separate=Held(
            "CAP_DAC_OVERRIDE, confined by Landlock to what the hook may open, /proc among it; no_new_privs",
            weaker=True,
        ),
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
        active="only the descriptors 0, 1 and 2",
        promises=(Promise.PRIVILEGES, Promise.ENVIRONMENT),
        stages=("descriptors",),
    ),
    Protection.RESULTS: ProtectionRow(
        active="every output goes to a staging directory, and is vetted when no process of the hook is alive",
        promises=(Promise.RESULTS,),
    ),
}
