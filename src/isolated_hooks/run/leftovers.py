"""Leftovers: the workspaces of killed frontends, their sandboxes, and files that belong to a throw-away uid."""

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
from ..launchers.child import child_command, child_environ
from ..sandbox import cgroup
from ..sandbox.status import read_status
from .waiting import wait_for_end
from .workspace import NAME, discard, opened, workspace_parent

__all__ = ["sweep", "sweep_once", "take_back"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@functools.lru_cache
def sweep_once(parent: str) -> None:
    """Sweep a directory, once in the life of this process."""
    sweep(parent)


def sweep(parent: str | None = None) -> None:
    """Remove the workspaces of frontends that were killed, and give the files that they left to this caller.

    :param parent: the directory to sweep; the directory for temporary files by default
    """
    parent = workspace_parent(()) if parent is None else parent
    with contextlib.suppress(OSError), opened(parent) as fd:
        for name in filter(NAME.fullmatch, os.listdir(fd)):
            with contextlib.suppress(OSError), abandoned(fd, name):
                path = os.path.join(parent, name)
                # A frontend that was killed early leaves half a plan, or none.
                with contextlib.suppress(OSError, EOFError, KeyError, TypeError, ValueError):
                    _take_back_abandoned(path)
                discard(path)


def _take_back_abandoned(path: str) -> None:
    status = read_status(f"{path}/status")
    with open(f"{path}/plan", "rb") as file:
        trees = marshal.load(file)["trees"]
    take_back(status, [os.fsdecode(tree) for tree in trees])


def take_back(status: Mapping[str, Any], trees: Iterable[str]) -> None:
    """End a sandbox, and give the files in some trees that belong to its throw-away uid to the caller.

    :param status: the status that the launcher reported
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
        # The launcher was killed, and there was no PID namespace to end with it.
        subprocess.run(
            child_command("identity", str(uid)), stdin=subprocess.DEVNULL, check=True, cwd="/", env=child_environ()
        )
    for tree in trees:
        fd = os.open(tree, _DIRECTORY)
        try:
            give_back(fd, uid, owner=(os.geteuid(), os.getegid()))
        finally:
            os.close(fd)
