"""Installs what was fetched into a build environment, in a sandbox.

Fetching needs the network and the credentials of indexes; unpacking needs neither. So it has neither: it sees the
environment, which it may write to, what was fetched, read-only, and the trusted interpreter, which runs
:mod:`.unpacking`. The environment's own interpreter is not run, inside as little as outside.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Collection, Mapping, Sequence

import installer
from build import BuildException

from ...policy import Policy
from ...run.command import run_command
from ...text import visible
from . import unpacking

__all__ = ["Fetched", "RequirementsError", "install", "scheme_of"]


class RequirementsError(BuildException):
    """Build requirements could not be had or installed; build prints it and ends with exit code 1."""


@dataclasses.dataclass(frozen=True)
class Fetched:
    """What is to be installed.

    :ivar directory: holds all of it
    :ivar wheels: paths of wheels
    :ivar tree: a directory laid out as an environment is, or empty
    :ivar shebang: the interpreter in the scripts of that tree
    """

    directory: str
    wheels: tuple[str, ...] = ()
    tree: str = ""
    shebang: str = ""


def install(fetched: Fetched, environment: str, policy: Policy, *, replaced: Collection[str] = ()) -> None:
    """Install what was fetched into a virtual environment of the running interpreter, in a sandbox.

    :param environment: the environment's directory
    :param policy: of the hooks; network, further paths and the source tree's mode are not for this
    :param replaced: canonical names of the distributions to uninstall first
    :raises RequirementsError: it cannot be unpacked
    :raises SandboxUnavailableError, SandboxSetupError: as :class:`~isolated_hooks.IsolatedRunner`
    """
    order = {
        "library": os.path.dirname(os.path.dirname(os.path.abspath(installer.__file__))),
        "scheme": scheme_of(environment),
        "python": os.path.join(scheme_of(environment)["scripts"], "python"),
        "replaced": sorted(replaced),
        "wheels": fetched.wheels,
        "tree": fetched.tree,
        "shebang": fetched.shebang,
    }
    script = os.path.abspath(unpacking.__file__)
    shown = (fetched.directory, script, os.path.dirname(os.path.abspath(installer.__file__)))
    inside = dataclasses.replace(policy, network=False, source="read-write", expose=shown, writable=())
    said: list[str] = []
    # What was given as "../env/bin/python" leads over directories that are not shown.
    python = os.path.join(os.path.realpath(os.path.dirname(sys.executable)), os.path.basename(sys.executable))
    argv = [python, "-I", "-S", script, _written(order, fetched.directory)]
    report = run_command(
        argv, environment, inside, functools.partial(_start, said), stdin="null", python=sys.executable
    )
    if report.returncode:
        raise RequirementsError(f"build requirements cannot be installed: {visible(said[0], limit=2000)}")


def _written(order: Mapping[str, object], directory: str) -> str:
    descriptor, path = tempfile.mkstemp(".json", "order-", directory)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(order, file)
    return path


def _start(said: list[str], command: Sequence[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said.append(done.stderr.decode(errors="replace").strip())


def scheme_of(environment: str) -> Mapping[str, str]:
    """Return the directories of a virtual environment of the running interpreter, by the names that wheels use."""
    # Without "venv", which distributors set beside a default of their own, "posix_prefix" is what environments have.
    name = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
    places = {"base": environment, "platbase": environment, "installed_base": environment}
    paths = sysconfig.get_paths(name, vars=places)
    version = f"python{sysconfig.get_python_version()}"
    headers = os.path.join(environment, "include", "site", version)
    return {**{key: paths[key] for key in ("purelib", "platlib", "scripts", "data")}, "headers": headers}
