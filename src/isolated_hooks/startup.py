"""``python -m isolated_hooks`` looks for modules in the current directory first, often the tree that is to be built.

That ends here, before anything but this package was looked for. A module of the tree by the name of this package, or of
one that Python itself loads for ``-m``, would have been run before: ``isolated-hooks`` or ``python -I -m`` have no such
gap.
"""

from __future__ import annotations

import os
import sys

__all__: list[str] = []


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


if _is_our_start():
    _forget_working_directory()
