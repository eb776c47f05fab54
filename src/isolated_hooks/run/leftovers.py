"""What killed frontends have left, and what hooks have left to a throw-away uid: ended, given back, removed."""

from __future__ import annotations

import contextlib
import functools
import marshal
import os
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from ..files.held import abandoned
from ..files.ownership import give_back
from ..launchers.child import child_command
from ..sandbox import cgroup
from ..sandbox.status import read_status
from .waiting import wait_for_end
from .workspace import NAME, discard, opened, workspace_parent

__all__ = ["sweep", "sweep_once", "take_back"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@functools.lru_cache
def sweep_once(parent: str) -> None:
    """Remove what killed frontends left in a directory, once in the life of a process."""
    sweep(parent)


def sweep(parent: str | None = None) -> None:
    """Remove the workspaces of frontends that were killed, and give the files that they left to this caller.

    :param parent: the directory to look in; where temporary files go, if it is left out
    """
    parent = workspace_parent(()) if parent is None else parent
    with contextlib.suppress(OSError), opened(parent) as fd:
        for name in filter(NAME.fullmatch, os.listdir(fd)):
            with contextlib.suppress(OSError), abandoned(fd, name):
                path = os.path.join(parent, name)
                # A frontend that was killed early has left half a plan, or none.
                with contextlib.suppress(OSError, EOFError, KeyError, TypeError, ValueError):
                    _take_back_abandoned(path)
                discard(path)


def _take_back_abandoned(path: str) -> None:
    status = read_status(f"{path}/status")
    with open(f"{path}/plan", "rb") as file:
        trees = marshal.load(file)["trees"]
    take_back(status, [os.fsdecode(tree) for tree in trees])


def take_back(status: Mapping[str, Any], trees: Iterable[str]) -> None:
    """End what is left of a sandbox, and give what belongs to its throw-away uid in some trees to the caller.

    :param status: what the launcher said
    :param trees: the source tree and the writable paths
    """
    wait_for_end(status)
    try:
        _take_back(status, trees)
    finally:
        for path in status.get("cgroups", ()):
            with contextlib.suppress(OSError):
                cgroup.remove(path)


def _take_back(status: Mapping[str, Any], trees: Iterable[str]) -> None:
    uid = status.get("files_of")
    if uid is None:
        return
    if status["confined"] and "state" not in status:
        # No PID namespace has ended with the launcher, which was killed.
        subprocess.run(child_command("identity", str(uid)), stdin=subprocess.DEVNULL, check=True, cwd="/")
    for tree in trees:
        fd = os.open(tree, _DIRECTORY)
        try:
            give_back(fd, uid, owner=(os.geteuid(), os.getegid()))
        finally:
            os.close(fd)
