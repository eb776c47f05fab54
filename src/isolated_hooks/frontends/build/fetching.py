"""Fetches build requirements with pip or uv, outside the sandbox: they need the network and the credentials of indexes.

Only the trusted interpreter and the installer run here. No interpreter runs that a download could influence: not that
of the build environment, and uv gets a new environment for each call, which stays empty. pip builds requirements that
exist only as sdists with their hooks in the sandbox, and so do the pips that it starts for the requirements of those
sdists. uv offers no means to replace its hook caller, so this module tells uv to take only wheels.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Mapping, Sequence

from build import _ctx

from ...files.spelling import absolute
from ...files.steered import recorded_trees
from ...frozen import dataclass
from ...policy import Policy
from ...report import HookReport
from ...text import visible
from ..copies import Copies
from ..pip import Problem, Records, pip_command
from ..pip import program as pip_program
from ..pip.config import install_settings
from ..surroundings import outside_environ
from ..tether import tied
from .installation import RequirementsError
from .unpacking import INTERPRETER, TREE

__all__ = ["FetchError", "Request", "fetch_with_pip", "fetch_with_uv", "pip_environ"]


@dataclass(frozen=True)
class Request:
    """An order to fetch requirements.

    :ivar requirements: the requirements that apply to this interpreter, without markers
    :ivar constraints: the contents of constraints files
    :ivar links: directories with the wheels of earlier requests
    :ivar policy: the policy for the hooks of requirements that exist only as sdists
    :ivar reports: the list to which the fetcher appends one report for each of these hooks
    :ivar observes: these reports say what the hooks asked for and did not get
    :ivar only_wheels: refuse what exists only as an sdist, because its hooks would run
    :ivar directory: an empty directory for the results, in the form that :func:`.installation.install` expects
    :ivar index: the URL below which an index of ours lies that the constraints name
    """

    requirements: Sequence[str]
    constraints: Sequence[str]
    links: Sequence[str]
    policy: Policy
    reports: list[HookReport]
    observes: bool = False
    only_wheels: bool = False
    directory: str = ""
    index: str = ""

    def into(self, directory: str) -> Request:
        """Return the same order with a directory."""
        return dataclasses.replace(self, directory=directory)


class FetchError(Exception):
    """The installer failed.

    :ivar problems: the errors of this package with which hooks failed
    """

    def __init__(self, hint: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(hint)
        self.problems = tuple(problems)


def fetch_with_pip(request: Request) -> None:
    """Fetch or build wheels of the requirements and their dependencies, with the trusted interpreter's pip.

    :raises FetchError: pip failed, and has printed the reason
    :raises PolicyError: the trusted interpreter has no pip
    """
    directory = request.directory
    with Records() as records:
        *program, state = pip_command(
            request.policy, records=records, observes=request.observes, index=request.index, refuses=request.only_wheels
        )
        command = [*program, *_verbosity(), "wheel", "--wheel-dir", directory, "--no-input", *_constraints(request)]
        if request.only_wheels:
            command += ["--only-binary", ":all:"]
        for link in request.links:
            command += ["--find-links", link]
        try:
            # On the command line, because in a requirements file pip expands ${NAME} to the values of environment
            # variables, credentials for instance.
            with _outside() as copies:
                environ = pip_environ(state, copies, directory)
                environ = {**install_settings(program, environ), **environ}
                environ["TMPDIR"] = _temporary(directory)
                if request.observes:
                    # A wheel in pip's cache would take the place of hooks that somebody wants to see. And one that was
                    # built under a policy on trial must not stay there.
                    environ["PIP_NO_CACHE_DIR"] = "1"
                _run([*command, "--", *request.requirements], environ)
        except subprocess.CalledProcessError as problem:
            hint = "see pip's output above"
            if request.only_wheels:
                hint += "; --answers and --record-answers take only wheels, because an sdist has hooks of its own"
            raise FetchError(hint, records.read().problems) from problem
        finally:
            request.reports.extend(records.read().reports)


def fetch_with_uv(request: Request) -> None:
    """Have uv fetch the requirements and their dependencies as wheels and unpack them into a tree.

    uv has no command that only downloads. It also runs the target interpreter to query its paths, so it gets the
    interpreter of a separate environment into which no one installs anything.

    :raises FetchError: uv failed, and has printed the reason
    """
    python, tree = (os.path.join(request.directory, name) for name in (INTERPRETER, TREE))
    empty = os.path.dirname(os.path.dirname(python))
    venv.EnvBuilder(symlinks=True, with_pip=False).create(empty)
    # uv reads settings from the pyproject.toml of the current directory, which is often the source tree.
    command = [*tied(), _uv(), "--directory", request.directory, "pip", *_verbosity(most=2)]
    command += ["install", "--python", python, "--prefix", tree]
    # With links into uv's cache, a hook that may write to the tree could change the contents of other environments.
    # Compiling would run an interpreter.
    command += ["--no-build", "--link-mode", "copy", "--no-compile-bytecode", *_constraints(request)]
    try:
        with _outside() as copies:
            environ = outside_environ(os.environ, copies)
            environ.pop("PYTHONPATH", None)
            environ["VIRTUAL_ENV"] = empty
            environ["TMPDIR"] = _temporary(request.directory)
            if "UV_KEYRING_PROVIDER" not in environ and shutil.which("keyring", path=environ["PATH"]):
                environ["UV_KEYRING_PROVIDER"] = "subprocess"
            _run([*command, "--", *request.requirements], environ)
    except subprocess.CalledProcessError as problem:
        hint = "isolated-hooks lets uv take only wheels; --installer pip builds sdists, too, in a sandbox"
        raise FetchError(hint) from problem


def _temporary(directory: str) -> str:
    """Return a directory for temporary files that goes with the downloads, even if somebody kills the installer."""
    path = os.path.join(directory, "tmp")
    os.mkdir(path)
    return path


def _constraints(request: Request) -> list[str]:
    options = []
    for text in request.constraints:
        descriptor, path = tempfile.mkstemp(".txt", "constraints-", request.directory)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
        options += ["-c", path]
    return options


def _outside() -> Copies:
    return Copies(recorded_trees())


def _started_here(state: str, directory: str) -> str:
    """Return the state for a pip that ends with this process, and works outside of trees that hooks have written to.

    That pip neither writes nor reads through what a hook has left there, as its log, which PIP_LOG may name.
    """
    trees = recorded_trees()
    # git obeys the configuration that it finds in the current directory.
    cwd = {"cwd": directory} if trees.steer(os.getcwd()) else {}
    more = {"parent": os.getpid(), "trees": [*trees.written], **cwd}
    return json.dumps({**json.loads(state.removeprefix(pip_program.OPTION)), **more})


def pip_environ(state: str, copies: Copies, directory: str) -> dict[str, str]:
    """Return the environment for a pip that ends with the thread that starts it.

    :param state: the last argument of :func:`..pip.pip_command`, which moves to a variable
    :param copies: the copies of files in trees that hooks write to
    :param directory: outside of these trees
    """
    # In a variable, because build prints the command if it fails.
    environ = {**outside_environ(os.environ, copies), pip_program.STATE: _started_here(state, directory)}
    # As build does: pip uses the keyring program only if this variable tells it to.
    if "PIP_KEYRING_PROVIDER" not in environ and shutil.which("keyring", path=environ.get("PATH")):
        environ["PIP_KEYRING_PROVIDER"] = "subprocess"
    # The user means these two for the environments that they install into. PIP_PYTHON would start another pip, without
    # a sandbox.
    environ.pop("PIP_PYTHON", None)
    environ["PIP_REQUIRE_VIRTUALENV"] = "0"
    return environ


def _uv() -> str:
    try:
        return str(importlib.import_module("uv").find_uv_bin())
    except (ImportError, FileNotFoundError):
        program = shutil.which(os.environ.get("UV") or "uv")
    if program is None:
        raise RequirementsError("uv executable not found: install uv, or use --installer pip")
    program = absolute(program)
    if recorded_trees().steer(program):
        raise RequirementsError(
            f"uv executable {visible(program)!r} lies in a source tree, where a hook may have written it. Remedy: "
            "install uv elsewhere, or use --installer pip"
        )
    return program


def _verbosity(*, most: int = 3) -> list[str]:
    level = min(most, int(_ctx.verbosity) - 1)
    return [f"-{'v' * level}"] if level > 0 else []


def _run(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run a command as build does: build shows its output with ``-v``, and otherwise only if it fails."""
    _ctx.run_subprocess(command, env=environ)
