"""Guard the start of a command: keep the current directory out of ``sys.path``, and end quietly at an early interrupt.

``python -m isolated_hooks`` puts the current directory first on ``sys.path``, and that directory is often the source
tree that is about to be built. This module removes the entry before Python looks for any module outside this package.
It comes too late for two kinds of module in the tree: one that has this package's name, and one that Python itself
loads for ``-m``. ``isolated-hooks`` and ``python -I -m isolated_hooks`` do not have this gap.

While a command imports the rest of this package, and while the interpreter ends, SIGINT ends the process without a
traceback, as it ends any program. What SIGINT does before Python imports this module is Python's own.
"""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["end_at_interrupts", "raise_interrupts"]

_interrupts_end_process = False


def _is_module_run() -> bool:
    # While Python locates the module that -m names, sys.argv[0] is "-m" (Python Setup and Usage, "Command line").
    modules = (argument.removeprefix("-m") for argument in sys.orig_argv[1:])
    return sys.argv[:1] == ["-m"] and any(name.partition(".")[0] == "isolated_hooks" for name in modules)


def _remove_working_directory() -> None:
    try:
        here = os.getcwd()
    except OSError:
        return  # in this case Python has not put it on sys.path
    if sys.path[:1] == [here]:
        del sys.path[0]


def end_at_interrupts() -> None:
    """Have SIGINT end the process without a traceback, before and after the part of a command that handles it."""
    global _interrupts_end_process
    # If SIGINT is ignored, as it is for a background command, it stays ignored.
    if _is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _interrupts_end_process = True


def raise_interrupts() -> None:
    """Make SIGINT raise KeyboardInterrupt again. Call it when a handler for that exception is in place."""
    global _interrupts_end_process
    if _interrupts_end_process:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _interrupts_end_process = False


_is_command = _is_module_run() or os.path.basename(sys.argv[0] if sys.argv else "") == "isolated-hooks"
if _is_module_run():
    _remove_working_directory()
end_at_interrupts()
