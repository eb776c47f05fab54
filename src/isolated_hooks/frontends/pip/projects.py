"""The projects that pip builds: their pyproject.toml, and those whose directories the user names."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...errors import UntrustedResultError
from ...files.reading import read_file
from ...files.spelling import absolute
from ...files.steered import Trees
from ...policy import Policy
from ...results.boundedtoml import MAX_PYPROJECT, parse_toml
from ...results.requirements import FILE, WEB, vet_requirement, vet_requirements
from ...run.workspace import PrivateDirectory
from ...text import visible
from ..restore import Restoring
from .runner import installation_error

__all__ = ["checking", "own_temporary_files", "vetting_dependencies"]


def checking(load: Callable[..., Any], policy: Policy) -> Callable[..., Any]:
    """Wrap pip's function that reads pyproject.toml: first check that it is a file, its size, and its requirements."""
    signature = inspect.signature(load)

    @functools.wraps(load)
    def load_pyproject_toml(*args: Any, **kwargs: Any) -> Any:
        path = absolute(signature.bind(*args, **kwargs).arguments["pyproject_toml"])
        try:
            _check(path, policy)
        except UntrustedResultError as problem:
            text = f": {problem.text}" if problem.text else ""
            raise installation_error(f"{visible(path)!r} is not used: {problem.rule}{text}") from problem
        except OSError:
            pass  # pip prints the error, or goes on without the file
        return load(*args, **kwargs)

    return load_pyproject_toml


def _check(path: str, policy: Policy) -> None:
    document = parse_toml(read_file(path, Trees((os.path.dirname(path),)), limit=MAX_PYPROJECT))
    system = document.get("build-system")
    requires = system.get("requires") if isinstance(system, dict) else None
    if isinstance(requires, list):  # otherwise pip has an error of its own
        schemes = WEB | FILE if policy.allow_url_requirements else WEB
        vet_requirements([text for text in requires if isinstance(text, str)], schemes=schemes)


def vetting_dependencies(make: Callable[..., Any], policy: Policy) -> Callable[..., Any]:
    """Wrap pip's function that reads a dependency in metadata: a hook or a wheel may not name a file of this host.

    pip would build the other directory, to which its hooks could write, and put what is in it into a wheel.
    """

    @functools.wraps(make)
    def install_req_from_req_string(req_string: str, *args: Any, **kwargs: Any) -> Any:
        if "@" in req_string:
            try:
                vet_requirement(req_string, schemes=WEB | FILE if policy.allow_url_requirements else WEB)
            except UntrustedResultError as problem:
                raise installation_error(
                    f"the dependency {visible(req_string, limit=200)!r} is not used: {problem.rule}. Remedy: if you "
                    "trust it, set allow-url-requirements = true in the policy"
                ) from problem
        return make(req_string, *args, **kwargs)

    return install_req_from_req_string


@contextlib.contextmanager
def own_temporary_files(arguments: Sequence[str]) -> Iterator[None]:
    """Give pip a directory of its own for temporary files, which the next call removes if somebody kills this process.

    It lies outside of the projects that the arguments name; the current directory may be one, too. pip makes temporary
    directories before it runs any hook, so before we know all source trees.

    :raises SandboxSetupError: no such directory can be made
    """
    named = (argument.rpartition("[")[0] or argument for argument in (".", *arguments))
    projects = [path for path in named if any(os.path.isfile(f"{path}/{name}") for name in _MARKS)]
    with PrivateDirectory(projects, prefix="pip-", shown=True) as directory, Restoring() as changes:
        changes.attribute(tempfile, "tempdir", directory.path)
        changes.item(os.environ, "TMPDIR", directory.path)
        yield


_MARKS = ("pyproject.toml", "setup.py")
