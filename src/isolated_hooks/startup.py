"""``python -m isolated_hooks`` looks for modules in the current directory first, often the tree that is to be built.

That ends here, before anything but this package was looked for. A module of the tree by the name of this package, or of
one that Python itself loads for ``-m``, would have been run before: ``isolated-hooks`` or ``python -I -m`` have no such
gap.

And while the rest of this package is imported for a command, an interrupt ends the process as it ends any program, and
not with a traceback.
"""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["raise_interrupts"]

_held_back = False


def _is_our_start() -> bool:
    # While Python looks for the module of -m, that is what stands in the place of its name.
    modules = (argument.removeprefix("-m") for argument in sys.orig_argv[1:])
    return sys.argv[:1] == ["-m"] and any(name.partition(".")[0] == "isolated_hooks" for name in modules)


def _forget_working_directory() -> None:
    try:
        here = os.getcwd()
    except OSError:
        return  # then Python has not put it there
    if sys.path[:1] == [here]:
        del sys.path[0]


def _end_at_interrupts() -> None:
    global _held_back
    # Not where they are ignored, as for a command in the background.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _held_back = True


def raise_interrupts() -> None:
    """Have an interrupt raise KeyboardInterrupt again, now that there is somebody to catch it."""
    global _held_back
    if _held_back:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _held_back = False


if _is_our_start():
    _forget_working_directory()
    _end_at_interrupts()
elif os.path.basename(sys.argv[0] if sys.argv else "") == "isolated-hooks":
    _end_at_interrupts()
