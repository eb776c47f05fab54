"""Removes what a world has planted, when its maker is done or dead: run as a script, in a session of its own.

It is told what there is by lines of JSON on its standard input, each before the thing is made, and begins when that
ends, for whatever reason: an interrupt, a crash and a SIGKILL of the maker all end it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["Janitor", "library"]

_IPC_RMID = 0
_SESSION_KEYRING, _KEYCTL_GET_KEYRING_ID, _KEYCTL_UNLINK = -3, 0, 9
#: keyctl(2) on x86_64 and on aarch64.
KEYCTL = 219 if platform.machine() == "aarch64" else 250
_SECONDS = 20.0


def library(*names: str) -> ctypes.CDLL:
    """Return the library of C that has these functions: where it is old, those of POSIX queues are in librt."""
    found = ctypes.CDLL(None, use_errno=True)
    return found if all(hasattr(found, name) for name in names) else ctypes.CDLL("librt.so.1", use_errno=True)


class Janitor:
    """The maker's end: started at once, told of each thing, closed at the end."""

    def __init__(self) -> None:
        # Where this process has no session keyring it gets one by the first key, and the janitor has to have the same.
        library().syscall(KEYCTL, _KEYCTL_GET_KEYRING_ID, ctypes.c_long(_SESSION_KEYRING), 1)
        # Neither the user's modules nor this package's path: only the standard library. Not in the terminal's group,
        # so that an interrupt does not reach it.
        command = [sys.executable, "-I", "-S", "-B", __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", start_new_session=True, bufsize=0)

    def told(self, kind: str, what: Any) -> None:
        """Say what is to be removed: ``kind`` is a key of the table at the end of this module."""
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), json.dumps([kind, what]).encode() + b"\n")

    def close(self) -> None:
        """Have it all removed, and wait for that."""
        self._process.communicate()


def _remove_tree(path: str) -> None:
    """End every process that has the tree's path in its command line, then remove the tree."""
    end = time.monotonic() + _SECONDS
    while (found := list(_naming(os.fsencode(path)))) and time.monotonic() < end:
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    for directory, names, _ in os.walk(path):
        for name in names:
            beneath = os.path.join(directory, name)
            if not os.path.islink(beneath):
                os.chmod(beneath, 0o700)  # what the backend closed
    shutil.rmtree(path, ignore_errors=True)


def _naming(text: bytes) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(process.name) not in _OURS and text in (process / "cmdline").read_bytes():
                yield int(process.name)


def _remove_key(key: int) -> None:
    keyring = ctypes.c_long(_SESSION_KEYRING)
    library().syscall(KEYCTL, _KEYCTL_UNLINK, key, keyring)


def _remove_file(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


_REMOVERS: dict[str, Callable[[Any], object]] = {
    "tree": _remove_tree,  # the first: while its processes live, they may make more of the others
    "file": _remove_file,
    "segment": lambda identifier: library().shmctl(identifier, _IPC_RMID, None),
    "semaphore": lambda identifier: library().semctl(identifier, 0, _IPC_RMID),
    "queue": lambda identifier: library().msgctl(identifier, _IPC_RMID, None),
    "named queue": lambda name: library("mq_unlink").mq_unlink(name.encode()),
    "key": _remove_key,
}
_OURS = (os.getpid(), os.getppid())


def _main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = [json.loads(line) for line in sys.stdin]
    order = list(_REMOVERS)
    for kind, what in sorted(told, key=lambda one: order.index(one[0])):
        try:
            _REMOVERS[kind](what)
        except (OSError, AttributeError) as error:  # a library without that function has made nothing by it
            print(f"isolated-hooks: the {kind} {what} was not removed: {error}", file=sys.stderr)


if __name__ == "__main__":
    _main()
