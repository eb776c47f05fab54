"""Installs the fetched requirements into a build environment, in a sandbox.

Fetching needs the network and the credentials of indexes. Unpacking needs neither, so the sandbox has neither. Inside,
the trusted interpreter runs :mod:`.unpacking`. It can write to the environment and read the downloads. The interpreter
of the environment does not run, neither inside the sandbox nor outside.
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

from ...launchers.child import child_environ
from ...policy import Policy
from ...run.command import run_command
from ...text import visible
from . import unpacking

__all__ = ["RequirementsError", "install", "scheme_of"]


class RequirementsError(BuildException):
    """Build requirements could not be obtained or installed. build prints the error and exits with 1."""


def install(directory: str, environment: str, policy: Policy) -> None:
    """Install the contents of a directory into a virtual environment of the running interpreter, in a sandbox.

    A wheel replaces other versions of its distribution. If the environment already has the version in the wheel's name,
    that stays.

    :param directory: a directory with wheels, or with the tree that uv has unpacked, see :data:`.unpacking.TREE`
    :param environment: the environment's directory
    :param policy: the policy for hooks. Its network, further paths and source tree mode do not apply here.
    :raises RequirementsError: the contents cannot be unpacked
    :raises SandboxUnavailableError, SandboxSetupError: as :class:`~isolated_hooks.IsolatedRunner`
    """
    library = os.path.dirname(os.path.abspath(installer.__file__))
    script = os.path.abspath(unpacking.__file__)
    order = {"library": os.path.dirname(library), "directory": directory, "scheme": scheme_of(environment)}
    inside = dataclasses.replace(
        policy, network=False, source="read-write", expose=(directory, script, library), writable=()
    )
    # A path such as "../env/bin/python" passes through directories that the sandbox does not have.
    python = os.path.join(os.path.realpath(os.path.dirname(sys.executable)), os.path.basename(sys.executable))
    argv = [python, "-I", "-S", script, json.dumps(order)]
    errors: list[bytes] = []

    def start(command: list[str]) -> None:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=child_environ(),
            cwd="/",
        )
        errors.append(process.stderr)

    report = run_command(argv, environment, inside, start, stdin="null", python=sys.executable)
    if report.returncode:
        text = errors[0].decode(errors="replace").strip()
        raise RequirementsError(f"cannot install the build requirements: {visible(text, limit=2000)}")


def scheme_of(environment: str) -> Mapping[str, str]:
    """Return the directories of a virtual environment of the running interpreter, by the names that wheels use."""
    # Distributors that change the default scheme also define "venv". Without it, environments use "posix_prefix".
    name = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
    bases = {"base": environment, "platbase": environment, "installed_base": environment}
    paths = sysconfig.get_paths(name, vars=bases)
    version = f"python{sysconfig.get_python_version()}"
    headers = os.path.join(environment, "include", "site", version)
    return {**{key: paths[key] for key in ("purelib", "platlib", "scripts", "data")}, "headers": headers}
