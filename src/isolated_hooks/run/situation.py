"""What a planner has to know of this host and this process, gathered for one call."""

from __future__ import annotations

import functools
import os
import pwd
import sys

from ..files.ownership import survey
from ..files.paths import RealFilesystem
from ..launchers import find_launcher
from ..plan import Identity, Situation
from ..plan.planner import refuse_source
from ..plan.view import refuse_reserved
from ..policy import Policy
from .remedies import remedy

__all__ = ["bound_sockets", "is_kernel_root", "situation_of", "started_with"]


def situation_of(source: str, policy: Policy) -> Situation:
    """Return what a planner has to know of this host and this process, for a source tree.

    :raises PolicyError: the tree, or a path that the policy makes writable, is one that no plan can show: the whole
        file system, for instance, which is not walked first
    """
    filesystem, home = RealFilesystem(), _home()
    refuse_source(source, policy, home=home, filesystem=filesystem)
    for path in policy.writable:
        refuse_reserved(path, "the path", filesystem=filesystem)
    owners, sockets = survey((source, *policy.writable))
    launcher = find_launcher(policy.launcher)
    return Situation(
        filesystem=filesystem,
        home=home,
        environ=dict(os.environ),
        started_with=started_with(),
        owners=owners if os.geteuid() == 0 else None,
        trusted=(sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
        sockets=(*sockets, *bound_sockets()),
        refused=frozenset(Identity) - launcher.identities,
        inside=launcher.paths,
        root=is_kernel_root(),
        remedy=remedy(),
    )


def _home() -> str:
    home = os.path.expanduser("~")
    if os.path.isabs(home):
        return os.path.normpath(home)
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/nonexistent"


@functools.lru_cache(maxsize=1)
def started_with() -> dict[str, str]:
    """Return the environment that this process was started with, proc_pid_environ(5), or as it is now."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = [entry.partition(b"=") for entry in file.read().split(b"\0") if entry]
    except OSError:
        return dict(os.environ)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def is_kernel_root() -> bool:
    """Say whether this process's user is the kernel's own root, which may change its settings without any capability.

    Its number does not say: in a user namespace 0 may be anybody, and root any number. The settings belong to the
    kernel's root, and stat(2) shows them as a user of this namespace only if that one is mapped here.
    """
    try:
        return os.stat("/proc/sys/kernel/core_pattern").st_uid == os.geteuid()
    except OSError:
        return os.geteuid() == 0


def bound_sockets() -> tuple[str, ...]:
    """Return the paths that unix sockets of this network namespace are bound to, /proc/net/unix of proc(5)."""
    try:
        with open("/proc/net/unix", "rb") as file:
            fields = [line.rstrip(b"\n").split(None, 7) for line in file]
    except OSError:
        return ()
    # The eighth field is the name: of an abstract one it begins with an @, of an unnamed one it is missing.
    return tuple(dict.fromkeys(os.fsdecode(f[7]) for f in fields if len(f) == 8 and f[7].startswith(b"/")))
