"""Installs the fetched requirements into a build environment, in a sandbox.

Fetching needs the network and the credentials of indexes. Unpacking needs neither, so the sandbox has neither. Inside,
the trusted interpreter runs :mod:`.unpacking`. It can write to the environment and read the downloads. The interpreter
of the environment does not run, neither inside the sandbox nor outside.
"""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from collections.abc import Mapping

from build import BuildException

from ...policy import Policy
from ..inside import run_script
from . import unpacking

__all__ = ["RequirementsError", "install", "scheme_of"]

# The package runs only inside. We find it before any hook: a hook could put one of this name before it.
_installer = importlib.util.find_spec("installer")
if _installer is None or _installer.origin is None:
    raise ModuleNotFoundError("No module named 'installer'", name="installer")
_INSTALLER = os.path.dirname(os.path.abspath(_installer.origin))


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
    script = os.path.abspath(unpacking.__file__)
    order = {"library": os.path.dirname(_INSTALLER), "directory": directory, "scheme": scheme_of(environment)}
    problem = run_script(script, order, environment, policy, reads=(directory, _INSTALLER))
    if problem is not None:
        raise RequirementsError(f"cannot install the build requirements: {problem}")


def scheme_of(environment: str) -> Mapping[str, str]:
    """Return the directories of a virtual environment of the running interpreter, by the names that wheels use."""
    # Distributors that change the default scheme also define "venv". Without it, environments use "posix_prefix".
    name = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
    bases = {"base": environment, "platbase": environment, "installed_base": environment}
    paths = sysconfig.get_paths(name, vars=bases)
    version = f"python{sysconfig.get_python_version()}"
    headers = os.path.join(environment, "include", "site", version)
    return {**{key: paths[key] for key in ("purelib", "platlib", "scripts", "data")}, "headers": headers}
