"""Remove all targets of a world when its maker has finished or died. This file runs as a script in its own session.

The maker registers each target with a line of JSON on the script's standard input, before it makes the target. The
script begins when its input ends, for any reason: an interrupt, a crash and a SIGKILL of the maker all end it.
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
#: The number of keyctl(2) on x86_64 and aarch64.
KEYCTL = 219 if platform.machine() == "aarch64" else 250
_SECONDS = 20.0


def library(*names: str) -> ctypes.CDLL:
    """Return the C library with these functions. An old C library has the POSIX queues in librt."""
    libc = ctypes.CDLL(None, use_errno=True)
    return libc if all(hasattr(libc, name) for name in names) else ctypes.CDLL("librt.so.1", use_errno=True)


class Janitor:
    """The maker's side: starts the script, registers targets, and waits until the script has removed them."""

    def __init__(self) -> None:
        # The first key gives this process a session keyring if it has none. Create the keyring now, so that the script
        # inherits it.
        library().syscall(KEYCTL, _KEYCTL_GET_KEYRING_ID, ctypes.c_long(_SESSION_KEYRING), 1)
        # The script imports only the standard library: neither the user's modules nor this package. Its own session
        # keeps an interrupt of the terminal from it.
        command = [sys.executable, "-I", "-S", "-B", __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", start_new_session=True, bufsize=0)

    def register(self, kind: str, target: Any) -> None:
        """Register a target for removal.

        :param kind: a key of ``_REMOVERS``
        :param target: a path, an identifier or a name
        """
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), json.dumps([kind, target]).encode() + b"\n")

    def close(self) -> None:
        """Make the script remove all targets, and wait for its end."""
        self._process.communicate()


def _remove_tree(path: str) -> None:
    """Kill every process with the tree's path in its command line, then remove the tree."""
    end = time.monotonic() + _SECONDS
    while (pids := list(_processes_naming(os.fsencode(path)))) and time.monotonic() < end:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    for directory, names, _ in os.walk(path):
        for name in names:
            beneath = os.path.join(directory, name)
            if not os.path.islink(beneath):
                os.chmod(beneath, 0o700)  # the backend may have removed all permissions
    shutil.rmtree(path, ignore_errors=True)


def _processes_naming(text: bytes) -> Iterator[int]:
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
    "tree": _remove_tree,  # first, because its processes may make more of the others while they live
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
    targets = [json.loads(line) for line in sys.stdin]
    order = list(_REMOVERS)
    for kind, target in sorted(targets, key=lambda entry: order.index(entry[0])):
        try:
            _REMOVERS[kind](target)
        except (OSError, AttributeError) as error:  # AttributeError: the library lacks the function, so made nothing
            print(f"isolated-hooks: could not remove the {kind} {target}: {error}", file=sys.stderr)


if __name__ == "__main__":
    _main()
