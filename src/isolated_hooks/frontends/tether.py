"""Starts a program that ends with the process that started it, even if a SIGKILL ends that process.

The kernel sends the program SIGKILL when its parent dies, PR_SET_PDEATHSIG of prctl(2). The setting outlives execve(2).
So the trusted interpreter runs this file as a script under ``-I -S``: it sets the signal and becomes the program. It
imports nothing from this package.
"""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main", "tie", "tied"]

_PR_SET_PDEATHSIG = 1


def tied() -> list[str]:
    """Return the beginning of a command: it runs the rest, and ends with the thread that starts it."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid())]


def tie(parent: int) -> None:
    """End this process when its parent ends.

    :param parent: the process id of the parent; if that has ended already, this process ends now
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Become a program.

    :param arguments: the process id of the parent, an absolute path, and the arguments of the program
    """
    tie(int(arguments[0]))
    try:
        os.execv(arguments[1], arguments[1:])
    except OSError as error:
        sys.stderr.write(f"{arguments[1]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
