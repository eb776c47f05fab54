"""Fetches build requirements, by pip or uv, where the network and the credentials of indexes are.

What runs here is the trusted interpreter and the installer, never an interpreter that something fetched could have
a say in: not that of the build environment, and of each uv gets a new one that stays empty. pip builds whatever exists
only as an sdist with its hooks in the sandbox, and so do the pips that it starts for the requirements of those. uv
has no such place, so it is told to take wheels only.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Mapping, Sequence

from build import _ctx

from ...policy import Policy
from ...report import HookReport
from ..pip import Problem, Records, pip_command
from ..pip import program as pip_program
from ..pip.config import install_settings
from .installation import RequirementsError
from .unpacking import INTERPRETER, TREE

__all__ = ["FetchError", "Request", "fetch_with_pip", "fetch_with_uv"]


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be fetched.

    :ivar requirements: those that are for this interpreter, without markers
    :ivar constraints: the texts of constraints files
    :ivar directory: an empty directory for all that comes of it, as :func:`.installation.install` takes it
    :ivar links: directories with the wheels that were fetched before
    :ivar policy: of the hooks that build what exists only as an sdist
    :ivar reports: where a report for each of these is put
    """

    requirements: Sequence[str]
    constraints: Sequence[str]
    directory: str
    links: Sequence[str]
    policy: Policy
    reports: list[HookReport]


class FetchError(Exception):
    """The installer failed.

    :ivar problems: errors of this package that hooks ended with
    """

    def __init__(self, hint: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(hint)
        self.problems = tuple(problems)


def fetch_with_pip(request: Request) -> None:
    """Fetch or build wheels of the requirements, and of all that they require, by the trusted interpreter's pip.

    :raises FetchError: pip failed, and has said why
    :raises PolicyError: there is no pip
    """
    directory = request.directory
    with Records() as records:
        *program, state = pip_command(request.policy, records=records)
        command = [*program, *_verbosity(), "wheel", "--wheel-dir", directory, "--no-input", *_constraints(request)]
        for link in request.links:
            command += ["--find-links", link]
        try:
            # Not in a file: there pip puts the values of variables, credentials for instance, in the place of ${NAME}.
            _run([*command, "--", *request.requirements], _pip_environ(program, state))
        except subprocess.CalledProcessError as problem:
            raise FetchError("pip has said why", records.read().problems) from problem
        finally:
            request.reports.extend(records.read().reports)


def fetch_with_uv(request: Request) -> None:
    """Fetch the requirements and all that they require, as wheels, by uv, and have it unpack them into a tree.

    It has no command that only downloads. And it starts the interpreter that it installs for, to ask it for its paths,
    so it gets one of an environment of its own, in which nothing is ever installed.

    :raises FetchError: uv failed, and has said why
    """
    python, tree = (os.path.join(request.directory, name) for name in (INTERPRETER, TREE))
    empty = os.path.dirname(os.path.dirname(python))
    venv.EnvBuilder(symlinks=True, with_pip=False).create(empty)
    # uv takes settings from the pyproject.toml of the current directory, which is often the tree that is being built.
    command = [_uv(), "--directory", request.directory, "pip", *_verbosity(most=2)]
    command += ["install", "--python", python, "--prefix", tree]
    # A link into the cache would let whoever may write to it change what other environments are made of; compiling
    # would run an interpreter.
    command += ["--no-build", "--link-mode", "copy", "--no-compile-bytecode", *_constraints(request)]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["VIRTUAL_ENV"] = empty
    if "UV_KEYRING_PROVIDER" not in environ and shutil.which("keyring"):
        environ["UV_KEYRING_PROVIDER"] = "subprocess"
    try:
        _run([*command, "--", *request.requirements], environ)
    except subprocess.CalledProcessError as problem:
        hint = "uv takes wheels only here; what exists as an sdist alone is built, in a sandbox, by --installer pip"
        raise FetchError(hint) from problem


def _constraints(request: Request) -> list[str]:
    options = []
    for text in request.constraints:
        descriptor, path = tempfile.mkstemp(".txt", "constraints-", request.directory)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
        options += ["-c", path]
    return options


def _pip_environ(program: Sequence[str], state: str) -> Mapping[str, str]:
    # As a variable: build prints the command where it fails.
    environ = {**os.environ, pip_program.STATE: state.removeprefix(pip_program.OPTION)}
    # As build does: pip looks for the program only if it is told to.
    if "PIP_KEYRING_PROVIDER" not in environ and shutil.which("keyring"):
        environ["PIP_KEYRING_PROVIDER"] = "subprocess"
    # What is meant for the environments that users install into. PIP_PYTHON would start another pip, unsandboxed.
    environ.pop("PIP_PYTHON", None)
    environ["PIP_REQUIRE_VIRTUALENV"] = "0"
    return {**install_settings(program, environ), **environ}


def _uv() -> str:
    try:
        return str(importlib.import_module("uv").find_uv_bin())
    except (ImportError, FileNotFoundError):
        program = shutil.which(os.environ.get("UV") or "uv")
    if program is None:
        raise RequirementsError("uv executable not found: install uv, or use --installer pip")
    return program


def _verbosity(*, most: int = 3) -> list[str]:
    level = min(most, int(_ctx.verbosity) - 1)
    return [f"-{'v' * level}"] if level > 0 else []


def _run(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run a command as build does, which shows its output with ``-v`` and otherwise where it failed."""
    _ctx.run_subprocess(command, env=environ)
