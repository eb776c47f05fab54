"""Ends a program that we start when the process that started it ends, even if a SIGKILL ends that process.

The kernel sends a program a signal when its parent dies, PR_SET_PDEATHSIG of prctl(2). A pip sets that itself, and then
ends as after an interrupt, so it removes its temporary files. For any other program, the trusted interpreter runs this
file as a script under ``-I -S``: it asks for SIGKILL and becomes the program, because the setting outlives execve(2).
The file imports nothing from this package.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["main", "tie", "tied"]

_PR_SET_PDEATHSIG = 1
# The time to end after the parent.
_SECONDS = 10


def tied() -> list[str]:
    """Return the beginning of a command: it runs the rest, and ends with the thread that starts it."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid())]


def tie(parent: int) -> None:
    """Interrupt this process when its parent ends, and end it if it takes long over that.

    An interrupt that came while SIGINT was blocked takes effect now. Python drops an exception that a signal handler
    raises while an object is destroyed or a weak reference calls back, as the import of a module has it do: such an
    interrupt counts as none, so that the next one takes effect.

    :param parent: the process id of the parent; if that has ended already, this process ends now
    """

    def listen() -> None:
        for number in (signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, end)

    def end(*_: object) -> None:
        # Only once: the terminal has sent the interrupt to all processes, and then the parent's end sends another.
        for number in (signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, lambda *_: None)
        if os.getppid() != parent:
            signal.alarm(_SECONDS)
        raise KeyboardInterrupt

    def dropped(problem: sys.UnraisableHookArgs) -> None:
        if issubclass(problem.exc_type, KeyboardInterrupt):
            listen()
        else:
            sys.__unraisablehook__(problem)

    sys.unraisablehook = dropped
    listen()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _signal_at_end_of(parent, signal.SIGUSR1)


def _signal_at_end_of(parent: int, number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Become a program.

    :param arguments: the process id of the parent, an absolute path, and the arguments of the program
    """
    _signal_at_end_of(int(arguments[0]), signal.SIGKILL)
    try:
        os.execv(arguments[1], arguments[1:])
    except OSError as error:
        sys.stderr.write(f"{arguments[1]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
