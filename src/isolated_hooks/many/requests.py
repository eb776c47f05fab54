"""Requests to build a package, and their check before anything runs."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from packaging.utils import parse_sdist_filename

from ..errors import PolicyError, UntrustedResultError
from ..files.spelling import absolute
from ..files.steered import Trees
from ..frozen import dataclass
from ..policy import Policy
from ..policy.file import refuse_written_policies
from ..results.artefacts import vet_sdist_name
from ..results.names import Project
from ..results.projects import declared_name
from ..text import visible
from .pinned import Pin

__all__ = ["BuildRequest", "Task", "check_requests", "check_tasks", "checked", "pinned"]

_MAX_CORES = 1 << 16


@dataclass(frozen=True)
class BuildRequest:
    """An order to build one package. It can be pickled.

    :ivar source: path of an sdist, ``NAME-VERSION.tar.gz``, or of a source tree
    :ivar output: path of the directory for the artefacts, outside of every source tree; we make it if need be
    :ivar wheel: build a wheel
    :ivar sdist: build an sdist of a source tree, and the wheel from the sdist
    :ivar policy: what the hooks of this package may do; ``None`` for the policy of all packages
    :ivar config_settings: the settings for the backend
    :ivar cores: the number of processor cores for this package, which build tools read in ``MAX_JOBS``,
        ``MAKEFLAGS``, ``CMAKE_BUILD_PARALLEL_LEVEL`` and ``CARGO_BUILD_JOBS``. ``None`` leaves these variables alone.
        A variable that the environment has already keeps its value.
    """

    source: str | os.PathLike[str]
    output: str | os.PathLike[str]
    wheel: bool = True
    sdist: bool = False
    policy: Policy | None = None
    config_settings: Mapping[str, Any] | None = None
    cores: int | None = None


@dataclass(frozen=True)
class Task:
    """A checked request.

    :ivar request: the request
    :ivar source: the absolute path of the source
    :ivar is_tree: whether it is a source tree
    :ivar output: the real path of the output directory
    :ivar project: the name and version in the name of the sdist; ``None`` for a source tree
    :ivar policy: the policy for its hooks
    :ivar pin: the package to fetch, which has no source yet
    :ivar name: the normalised name of the project as it was known before any hook ran: that of the sdist, the one that
        the caller gave, or the one in pyproject.toml; ``None`` if nobody knows it
    :ivar is_named: the caller gave the name
    """

    request: BuildRequest
    source: str
    is_tree: bool
    output: str
    project: Project | None
    policy: Policy
    pin: Pin | None = None
    name: str | None = None
    is_named: bool = False

    @property
    def label(self) -> str:
        """The name of the package for people, escaped."""
        if self.project is not None:
            return visible(f"{self.project[0]} {self.project[1]}", limit=200)
        # Never what pyproject.toml says by now: a hook could call its package by the name of another one.
        return visible(self.name or os.path.basename(self.source), limit=200)

    @property
    def written(self) -> list[str]:
        """The directories of the caller's that its hooks may write to."""
        return [*([self.source] if self.is_tree else ()), *self.policy.writable]

    @property
    def changed(self) -> list[str]:
        """The same without a source tree whose changes are refused or thrown away."""
        return [path for path in self.written if path != self.source or self.policy.source == "read-write"]


def check_requests(requests: Iterable[BuildRequest], policy: Policy | None) -> list[Task]:
    """Check all requests.

    :param policy: for the requests that have none of their own
    :raises PolicyError: one of them cannot be carried out; the text has its number, from 0
    """
    if policy is not None and not isinstance(policy, Policy):
        raise PolicyError(f"policy: expected a Policy, got {type(policy).__name__}")
    tasks = [checked(f"requests[{number}]", request, policy or Policy()) for number, request in enumerate(requests)]
    check_tasks(tasks, [f"requests[{number}]" for number in range(len(tasks))])
    return tasks


def check_tasks(tasks: Sequence[Task], labels: Sequence[str]) -> None:
    """Check that no hook of some tasks can write to a source or an output of another one.

    :param labels: begin the error texts
    :raises PolicyError: one can
    """
    _check_trees(tasks, labels)
    refuse_written_policies(path for task in tasks for path in task.changed)
    trees = Trees([tree for task in tasks for tree in task.written])
    for task, label in zip(tasks, labels, strict=True):
        if trees.steer(absolute(os.fspath(task.request.output))):
            raise PolicyError(
                f"{label}: output: {_shown(task.request.output)} lies in a source tree or another directory that hooks "
                "may write to, or a link there leads to it. Remedy: choose a directory outside of it"
            )
        if not task.is_tree and task.source and trees.steer(task.source):
            raise PolicyError(
                f"{label}: source: {_shown(task.source)} lies in a source tree or another directory that hooks may "
                "write to. Remedy: move the sdist out of it"
            )


def pinned(pin: Pin, output: str, policy: Policy, cores: int | None = None) -> Task:
    """Return the task to fetch a package, and to build it in a directory for artefacts."""
    request = BuildRequest(pin.text, output, cores=cores)
    return Task(request, "", False, os.path.realpath(output), pin.project, policy, pin, pin.project[0])


def checked(label: str, request: object, policy: Policy, name: str | None = None) -> Task:
    """Check a request by itself.

    :param label: begins the error texts
    :param policy: if it has none of its own
    :param name: the normalised name of the project, if the caller has given it
    :raises PolicyError: it cannot be carried out, or the source has another name
    """
    if not isinstance(request, BuildRequest):
        raise PolicyError(f"{label}: expected a BuildRequest, got {type(request).__name__}")
    for kind in ("wheel", "sdist"):
        if not isinstance(getattr(request, kind), bool):
            raise PolicyError(f"{label}: {kind}: expected True or False, got {getattr(request, kind)!r}")
    if not (request.wheel or request.sdist):
        raise PolicyError(f"{label}: expected a wheel, an sdist or both, got neither. Remedy: leave wheel=True")
    if request.policy is not None and not isinstance(request.policy, Policy):
        raise PolicyError(f"{label}: policy: expected a Policy or None, got {type(request.policy).__name__}")
    _check_cores(f"{label}: cores", request.cores)
    _check_settings(f"{label}: config_settings", request.config_settings)
    source = _path(f"{label}: source", request.source)
    is_tree, project = os.path.isdir(source), None
    if not is_tree:
        project = _project(f"{label}: source", source)
        if request.sdist:
            raise PolicyError(f"{label}: sdist: expected False for a source that is an sdist. Remedy: copy the file")
    output = os.path.realpath(_path(f"{label}: output", request.output))
    if os.path.lexists(output) and not os.path.isdir(output):
        raise PolicyError(f"{label}: output: {_shown(request.output)} is not a directory (expected a directory)")
    own = project[0] if project else declared_name(source)
    if name is not None and own not in (None, name):
        raise PolicyError(
            f"{label}: source: {_shown(request.source)} is of the project {own!r} (expected {name!r}, as named before "
            "the '='). Remedy: give its own name, or none"
        )
    task = Task(request, source, is_tree, output, project, request.policy or policy, name=name or own)
    return dataclasses.replace(task, is_named=name is not None)


def _path(label: str, value: object) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise PolicyError(f"{label}: expected a path, got {type(value).__name__}")
    path = os.fspath(value)
    if not isinstance(path, str) or not path or "\0" in path:
        raise PolicyError(f"{label}: expected a path as a text, got {visible(repr(path), limit=300)}")
    return absolute(path)


def _project(label: str, path: str) -> Project:
    """Return the project that an sdist is named after."""
    if not os.path.exists(path):
        raise PolicyError(f"{label}: {_shown(path)} does not exist (expected an sdist or a source tree)")
    name = os.path.basename(path)
    try:
        if not os.path.isfile(path) or not name.endswith(".tar.gz"):
            raise UntrustedResultError("no .tar.gz", name)
        return parse_sdist_filename(vet_sdist_name(name))
    except UntrustedResultError:
        raise PolicyError(
            f"{label}: {_shown(path)} is neither an sdist nor a directory (expected a file NAME-VERSION.tar.gz, or a "
            "source tree). Remedy: unpack another archive, and name the directory"
        ) from None


def _check_cores(label: str, cores: object) -> None:
    if cores is None:
        return
    if not isinstance(cores, int) or isinstance(cores, bool) or not 1 <= cores <= _MAX_CORES:
        raise PolicyError(f"{label}: expected a number from 1 to {_MAX_CORES}, or None, got {cores!r}")


def _check_settings(label: str, settings: object) -> None:
    try:
        if settings is None or (isinstance(settings, Mapping) and all(isinstance(name, str) for name in settings)):
            json.dumps(None if settings is None else dict(settings))
            return
    except (TypeError, ValueError, RecursionError):
        pass
    raise PolicyError(f"{label}: expected a mapping from names to values that JSON has, got {_shown(repr(settings))}")


def _check_trees(tasks: Sequence[Task], labels: Sequence[str]) -> None:
    """Check that no source tree is, or lies in, what hooks of another task may write to."""
    trees = {os.path.realpath(task.source): number for number, task in reversed([*enumerate(tasks)]) if task.is_tree}
    writers: dict[str, set[int]] = {}
    for number, task in enumerate(tasks):
        for path in task.policy.writable:
            writers.setdefault(os.path.realpath(path), set()).add(number)
    for number, task in enumerate(tasks):
        if not task.is_tree:
            continue
        for above in _and_above(os.path.realpath(task.source)):
            other = trees.get(above, number)
            if other != number:
                raise PolicyError(
                    f"{labels[number]}: source: {_shown(task.source)} is or lies in the source tree of "
                    f"{labels[other]}, whose hooks may write there. Remedy: build them one after the other"
                )
            if others := writers.get(above, set()) - {number}:
                raise PolicyError(
                    f"{labels[number]}: source: {_shown(task.source)} is or lies in {_shown(above)}, which the policy "
                    f"for {labels[min(others)]} makes writable. Remedy: build them one after the other"
                )


def _and_above(path: str) -> Iterator[str]:
    while path != "/":
        yield path
        path = os.path.dirname(path)
    yield "/"


def _shown(path: object) -> str:
    return repr(visible(str(path), limit=300))
