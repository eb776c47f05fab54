"""What a planner has to know of this host and this process, gathered for one call."""

from __future__ import annotations

import os
import pwd
import sys

from . import host
from .filesystem import RealFilesystem
from .identities import Identity
from .launchers import find_launcher
from .ownership import survey
from .plan import Situation
from .policy import Policy

__all__ = ["situation_of"]


def situation_of(source: str, policy: Policy) -> Situation:
    """Return what a planner has to know of this host and this process, for a source tree."""
    owners, sockets = survey((source, *policy.writable))
    launcher = find_launcher(policy.launcher)
    return Situation(
        filesystem=RealFilesystem(),
        home=_home(),
        environ=dict(os.environ),
        started_with=host.started_with(),
        owners=owners if os.geteuid() == 0 else None,
        trusted=(sys.prefix, sys.base_prefix, os.path.dirname(os.path.abspath(__file__))),
        sockets=(*sockets, *host.bound_sockets()),
        refused=frozenset(Identity) - launcher.identities,
        inside=launcher.paths,
        root=host.is_kernel_root(),
        remedy=host.remedy(),
    )


def _home() -> str:
    home = os.path.expanduser("~")
    if os.path.isabs(home):
        return os.path.normpath(home)
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/nonexistent"
