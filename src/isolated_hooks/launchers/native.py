"""The launcher of our own: the frontend's interpreter runs ``sandbox/``, which needs no helper program."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..errors import SandboxUnavailableError

__all__ = ["command", "end_command", "facts_command"]

_ENTRY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sandbox", "__main__.py")


def command(workspace: str, argv: Sequence[str]) -> list[str]:
    """Return the command that runs ``argv`` as the plan in ``workspace`` says.

    The interpreter is the one that runs the frontend: the one of the build environment is the attacker's. ``-I -S``
    keeps the source tree, PYTHON* variables and .pth files out of it.

    :raises SandboxUnavailableError: there is no interpreter or no file to give to it
    """
    return [*_python(), workspace, "--", *argv]


def facts_command() -> list[str]:
    """Return the command that finds out what this host offers.

    :raises SandboxUnavailableError: as :func:`command`
    """
    return [*_python(), "--facts"]


def end_command(uid: int) -> list[str]:
    """Return the command that ends every process of a throw-away uid, for root whose launcher was killed.

    :raises SandboxUnavailableError: as :func:`command`
    """
    return [*_python(), "--end", str(uid)]


def _python() -> list[str]:
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
    return [sys.executable, "-I", "-S", _ENTRY]
