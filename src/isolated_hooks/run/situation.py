"""The situation: the facts of this host and this process that the planner needs for one call."""

from __future__ import annotations

import functools
import grp
import os
import pwd
import re
import sys

from ..files.ownership import survey
from ..files.paths import RealFilesystem
from ..launchers import find_launcher
from ..plan import Identity, Situation
from ..plan.planner import refuse_source
from ..plan.view import USER, refuse_reserved
from ..policy import Policy
from .remedies import remedy

__all__ = ["bound_sockets", "is_kernel_root", "situation_of", "started_with"]

# As useradd(8) recommends, and what directories of users have besides. The rest could not stand in passwd(5).
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}")


def situation_of(source: str, policy: Policy) -> Situation:
    """Return the facts of this host and this process that the planner needs for a source tree.

    :raises PolicyError: no plan can show the tree, or a path that the policy makes writable: the whole file system, for
        instance, which is refused before it is walked
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
        user=_names(),
    )


def _names() -> tuple[str, str]:
    """Return the names of this user and of its group, or ours where they have none."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = USER
    try:
        group = grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        group = user
    return user if _NAME.fullmatch(user) else USER, group if _NAME.fullmatch(group) else USER


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
    """Return the environment that this process started with, proc_pid_environ(5); today's if that cannot be read."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = [entry.partition(b"=") for entry in file.read().split(b"\0") if entry]
    except OSError:
        return dict(os.environ)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def is_kernel_root() -> bool:
    """Return whether this user is the kernel's own root, who may change the kernel's settings without any capability.

    The uid does not tell: in a user namespace 0 may be anybody, and root may have any number. The settings belong to
    the kernel's root, and stat(2) shows their owner as a user of this namespace only if that user is mapped here.
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
    # The eighth field is the name. An abstract name begins with an @; an unnamed socket has no eighth field.
    return tuple(dict.fromkeys(os.fsdecode(f[7]) for f in fields if len(f) == 8 and f[7].startswith(b"/")))
