"""The situation: the facts of this host and this process that the planner needs for one call."""

from __future__ import annotations

import functools
import grp
import os
import pwd
import re
import sys

from ..errors import SandboxSetupError
from ..files.cgroups import own_limits
from ..files.ownership import Owners, survey
from ..files.paths import RealFilesystem
from ..files.repositories import find
from ..files.spelling import normal
from ..launchers import find_launcher
from ..plan import Identity, Situation
from ..plan.enclosing import NONE, Enclosing, enclosing_repository
from ..plan.planner import refuse_source
from ..plan.view import USER, refuse_reserved
from ..policy import Policy
from ..results.exported import exported_in
from .remedies import remedy

__all__ = ["is_kernel_root", "repository_of", "situation_of", "started_with", "trusted_directories", "written_trees"]

# As useradd(8) recommends, and what directories of users have besides. The rest could not stand in passwd(5).
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}")


def repository_of(source: str, policy: Policy) -> Enclosing:
    """Return the repository of git that a source tree is a part of, if the policy shows it."""
    if policy.repository == "hide":
        return NONE
    return enclosing_repository(RealFilesystem(), os.path.realpath(source), home=_home())


def situation_of(source: str, policy: Policy) -> Situation:
    """Return the facts of this host and this process that the planner needs for a source tree.

    :raises PolicyError: no plan can show the tree, or a path that the policy makes writable: the whole file system, for
        instance, which is refused before it is walked
    :raises SandboxSetupError: load kept us from finding the owners of the files
    """
    filesystem, home = RealFilesystem(), _home()
    refuse_source(source, policy, home=home, filesystem=filesystem)
    for path in policy.writable:
        refuse_reserved(path, "the path", filesystem=filesystem)
    trees = (source, *policy.writable)
    launcher = find_launcher(policy.launcher)
    return Situation(
        filesystem=filesystem,
        home=home,
        environ=dict(os.environ),
        started_with=started_with(),
        owners=_owners(trees) if os.geteuid() == 0 else None,
        trusted=trusted_directories(),
        refused=frozenset(Identity) - launcher.identities,
        repositories=tuple(find(os.path.realpath(tree)) for tree in trees),
        inside=launcher.paths,
        root=is_kernel_root(),
        remedy=remedy(),
        exported=exported_in(written_trees(source, policy)),
        user=_names(),
        cgroups=own_limits(),
    )


def trusted_directories() -> tuple[str, ...]:
    """Return the directories of code that runs outside of the sandbox: the frontend's interpreter, this package."""
    return sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def written_trees(source: str, policy: Policy) -> tuple[str, ...]:
    """Return the real paths of the trees that a hook may write to."""
    trees = (source, *policy.writable) if policy.source == "read-write" else policy.writable
    return tuple(map(os.path.realpath, trees))


def _owners(trees: tuple[str, ...]) -> Owners:
    try:
        return survey(trees)
    except OSError as error:
        path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else trees[0]
        raise SandboxSetupError("finding the owners of the source tree", path=path, errno=error.errno or 0) from error


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
        return normal(home)
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
