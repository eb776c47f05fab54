"""The command that runs ``sandbox/`` in a child."""

from __future__ import annotations

import os
import sys

from ..errors import SandboxUnavailableError

__all__ = ["child_command"]

_ENTRY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sandbox", "__main__.py")


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs ``main`` of a module of ``sandbox/`` with arguments.

    The interpreter is the one that runs the frontend: the one of the build environment is the attacker's. ``-I -S``
    keeps the source tree, PYTHON* variables and .pth files out of it.

    :raises SandboxUnavailableError: there is no interpreter or no file to give to it
    """
    if not sys.executable:
        raise SandboxUnavailableError(
            ["sys.executable is empty, so there is no trusted interpreter to set the sandbox up"],
            "run the frontend by a Python interpreter, not embedded in another program",
        )
    if not os.path.isfile(_ENTRY):
        raise SandboxUnavailableError(
            ["isolated-hooks is not installed as files, so its launcher cannot be started"],
            "install it with pip instead of running it from a zip archive",
        )
    return [sys.executable, "-I", "-S", _ENTRY, module, *arguments]
