"""The launcher of our own: the frontend's interpreter runs ``sandbox/``, which needs no helper program."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..errors import SandboxUnavailableError
from ..plan import Identity, Plan
from ..protections import ProtectionStatus
from ..report import protections_of
from .protocol import Availability

__all__ = ["Native", "facts_command", "sandbox_command"]

_ENTRY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sandbox", "__main__.py")


class Native:
    """The system calls of the kernel, made by the interpreter that runs the frontend."""

    name = "native"
    identities = frozenset(Identity)
    paths = ()

    def availability(self) -> Availability:
        return Availability(True, "part of isolated-hooks")

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        return protections_of(plan)

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        """:raises SandboxUnavailableError: there is no interpreter or no file to give to it"""
        return sandbox_command(workspace, "--", *argv)


def sandbox_command(*arguments: str) -> list[str]:
    """Return the command that runs ``sandbox/``.

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
    return [sys.executable, "-I", "-S", _ENTRY, *arguments]


def facts_command() -> list[str]:
    """Return the command that finds out what this host offers.

    :raises SandboxUnavailableError: as :func:`sandbox_command`
    """
    return sandbox_command("--facts")
