"""The command that runs a module of ``sandbox/`` in a child process."""

from __future__ import annotations

import os
import sys

from ..errors import SandboxUnavailableError
from ..files.steered import recorded_trees
from .linker_variables import trusted_libraries

__all__ = ["child_command", "child_environ"]

_ENTRY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sandbox", "__main__.py")


def child_command(module: str, *arguments: str, entry: str = _ENTRY) -> list[str]:
    """Return the command that runs ``main`` of a module of ``sandbox/`` with arguments.

    The frontend's interpreter runs it, because the attacker controls the interpreter of the build environment.
    ``-I -S`` keeps the source tree, PYTHON* variables and .pth files from having any effect.

    :param entry: the script to run instead of ``sandbox/__main__.py``
    :raises SandboxUnavailableError: ``sys.executable`` is empty, or this package is not installed as files
    """
    if not sys.executable:
        raise SandboxUnavailableError(
            ["sys.executable is empty, so there is no trusted interpreter to set the sandbox up"],
            "run the frontend with a Python interpreter that is not embedded in another program",
        )
    if not os.path.isfile(_ENTRY):
        raise SandboxUnavailableError(
            ["isolated-hooks is not installed as files, so its launcher cannot be started"],
            "install it with pip instead of running it from a zip archive",
        )
    return [sys.executable, "-I", "-S", entry, module, *arguments]


def child_environ() -> dict[str, str]:
    """Return our own environment for such a command, in which the linker loads nothing that a hook could have made."""
    return {**os.environ, **trusted_libraries(os.environ, recorded_trees())}
