"""Installs what was fetched into a build environment, in a sandbox.

Fetching needs the network and the credentials of indexes; unpacking needs neither. So it has neither: it sees the
environment, which it may write to, what was fetched, read-only, and the trusted interpreter, which runs
:mod:`.unpacking`. The environment's own interpreter is not run, inside as little as outside.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping

import installer
from build import BuildException

from ...policy import Policy
from ...run.command import run_command
from ...text import visible
from . import unpacking

__all__ = ["RequirementsError", "install", "scheme_of"]


class RequirementsError(BuildException):
    """Build requirements could not be had or installed; build prints it and ends with exit code 1."""


def install(directory: str, environment: str, policy: Policy) -> None:
    """Install what is in a directory into a virtual environment of the running interpreter, in a sandbox.

    It takes the place of other versions. What is there in the same version, as a wheel's name says, is left as it is.

    :param directory: with wheels, or with what uv has unpacked, see :data:`.unpacking.TREE`
    :param environment: the environment's directory
    :param policy: of the hooks; network, further paths and the source tree's mode are not for this
    :raises RequirementsError: it cannot be unpacked
    :raises SandboxUnavailableError, SandboxSetupError: as :class:`~isolated_hooks.IsolatedRunner`
    """
    library = os.path.dirname(os.path.abspath(installer.__file__))
    script = os.path.abspath(unpacking.__file__)
    order = {"library": os.path.dirname(library), "directory": directory, "scheme": scheme_of(environment)}
    inside = dataclasses.replace(
        policy, network=False, source="read-write", expose=(directory, script, library), writable=()
    )
    # What was given as "../env/bin/python" leads over directories that are not shown.
    python = os.path.join(os.path.realpath(os.path.dirname(sys.executable)), os.path.basename(sys.executable))
    argv = [python, "-I", "-S", script, json.dumps(order)]
    errors: list[bytes] = []

    def start(command: list[str]) -> None:
        process = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        errors.append(process.stderr)

    report = run_command(argv, environment, inside, start, stdin="null", python=sys.executable)
    if report.returncode:
        text = errors[0].decode(errors="replace").strip()
        raise RequirementsError(f"build requirements cannot be installed: {visible(text, limit=2000)}")


def scheme_of(environment: str) -> Mapping[str, str]:
    """Return the directories of a virtual environment of the running interpreter, by the names that wheels use."""
    # Without "venv", which distributors set beside a default of their own, "posix_prefix" is what environments have.
    name = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
    bases = {"base": environment, "platbase": environment, "installed_base": environment}
    paths = sysconfig.get_paths(name, vars=bases)
    version = f"python{sysconfig.get_python_version()}"
    headers = os.path.join(environment, "include", "site", version)
    return {**{key: paths[key] for key in ("purelib", "platlib", "scripts", "data")}, "headers": headers}
