"""Leftovers: the private directories of killed processes, their sandboxes, and files of a throw-away uid.

We trust the register alone, never a name, an owner or a mode: see :mod:`..files.register`. What a workspace holds is
trusted because no hook could write there: it lay outside of the trees of all calls that ran, or was hidden from them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from ..files.ownership import give_back
from ..files.register import Record, abandoned, live, these_namespaces, this_boot
from ..files.trees import remove_tree
from ..launchers.child import child_command, child_environ
from ..sandbox import cgroup
from ..sandbox.status import read_status, start_time
from .waiting import wait_for_end
from .workspace import opened

__all__ = ["sweep", "sweep_if_due", "take_back"]

# systemd-tmpfiles removes from /tmp what nobody has used for ten days, tmpfiles.d(5).
_FORGOTTEN = 10 * 24 * 3600.0
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class _Due:
    """Whether this process has to sweep: once, and again while a sandbox that it found is still ending."""

    now = True


def sweep_if_due() -> None:
    """Sweep, once in the life of this process, and again if the earlier sweep could not finish."""
    if _Due.now:
        _Due.now = sweep()


def sweep() -> bool:
    """Remove what killed processes of this user have left, and give the files that their hooks made to this caller.

    We end a sandbox that still runs, and never wait for its end.

    :return: whether a sandbox was still ending, so that another sweep is due
    """
    ending = False
    for record, kept in abandoned():
        if _is_elsewhere(record):
            if record.age < _FORGOTTEN:
                kept.append(record.path)
            continue
        try:
            ended = _sweep(record)
        except (OSError, subprocess.SubprocessError):
            kept.append(record.path)  # a later call may be able to remove it
        else:
            if not ended:
                ending = True
                kept.append(record.path)
    return ending


def _is_elsewhere(record: Record) -> bool:
    """Return whether a call in another namespace or root directory made the directory, since the host has started.

    There the path may lead to another directory or to none, and files of the throw-away uid may have another owner
    here, so only a call in the same place can give them back.
    """
    return record.boot.split()[:1] == this_boot().split()[:1] and record.namespaces != these_namespaces()


def _sweep(record: Record) -> bool:
    """Remove the directory of a record. Return ``False`` if its sandbox has not ended yet."""
    parent, name = os.path.split(record.path)
    with contextlib.ExitStack() as stack:
        try:
            above = stack.enter_context(opened(parent))
            inode = _stat_directory(above, name)
        except (FileNotFoundError, NotADirectoryError):
            return True  # it is gone, or was never made
        # A directory has no inode in the record if its process died at once. Its name is a secret, so it is ours.
        if record.inode not in (None, inode):
            return True
        status = read_status(record.path + "/status") if record.sandbox and record.inode else {}
        if record.boot == this_boot() and not _end(status):
            return False
        if "files_of" in status and _is_shared(status["files_of"], record):
            return False
        with contextlib.suppress(KeyError, TypeError, ValueError):  # half a status
            _finish(status, filter(os.path.isdir, record.trees))
        remove_tree(above, name)
    return True


def _stat_directory(parent: int, name: str) -> tuple[int, int]:
    fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    return status.st_dev, status.st_ino


def _end(status: Mapping[str, Any]) -> bool:
    """Kill pid 1 of a sandbox, if it still runs, and return whether it has ended, without waiting."""
    pid, born = status.get("pid"), status.get("born")
    if not isinstance(pid, int) or not born:
        return True
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        # The start time tells it from a later process of that number, and the descriptor cannot come to mean another.
        if start_time(pid) != born:
            return True
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        poll = select.poll()
        poll.register(fd, select.POLLIN)  # readable once the process has ended, pidfd_open(2)
        return bool(poll.poll(0))
    finally:
        os.close(fd)


def _is_shared(uid: object, swept: Record) -> bool:
    """Return whether a call that runs now has the throw-away uid of a dead one: a later call may have taken it."""
    running = (record for record in live() if record.sandbox and record.path != swept.path)
    return any(read_status(f"{record.path}/status").get("files_of") == uid for record in running)


def take_back(status: Mapping[str, Any], trees: Iterable[str]) -> None:
    """End a sandbox, and give the files in some trees that belong to its throw-away uid to the caller.

    :param status: the status that the launcher reported
    :param trees: the source tree and the writable paths
    """
    wait_for_end(status)
    _finish(status, trees)


def _finish(status: Mapping[str, Any], trees: Iterable[str]) -> None:
    """Take back the files of a sandbox, and remove its cgroups."""
    try:
        uid = status.get("files_of")
        if uid is not None:
            _take_back(uid, trees, kill=status["confined"] and "state" not in status)
    finally:
        for path in status.get("cgroups", ()):
            with contextlib.suppress(OSError):
                cgroup.remove(path)


def _take_back(uid: int, trees: Iterable[str], *, kill: bool) -> None:
    """Give the files in some trees that belong to a throw-away uid to the caller.

    :param kill: the launcher was killed, and there was no PID namespace to end with it: end the processes first
    """
    if kill:
        subprocess.run(
            child_command("identity", str(uid)), stdin=subprocess.DEVNULL, check=True, cwd="/", env=child_environ()
        )
    for tree in trees:
        fd = os.open(tree, _DIRECTORY)
        try:
            give_back(fd, uid, owner=(os.geteuid(), os.getegid()))
        finally:
            os.close(fd)
