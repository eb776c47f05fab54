"""The part of a build that an executor runs: it starts the process that builds, and makes a result of its answer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from packaging.utils import parse_wheel_filename

from .. import errors
from ..errors import PolicyError, UntrustedResultError
from ..files.steered import Trees
from ..frontends.imports import python_flags, trusted_path
from ..frozen import dataclass
from ..report import HookReport
from ..results.artefacts import Artefact, vet_sdist_name, vet_wheel_name
from ..text import visible
from .cores import core_variables
from .outcomes import BuildResult, BuiltFile, Outcome
from .permit import Watch
from .requests import Task
from .supervise import Ended, supervise

__all__ = ["Order", "build_package", "digest_of"]

#: The script that the trusted interpreter runs. This module does not import it.
_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py")
_MAX_ANSWER = 64 << 20
_MAX_ERROR = 2000
_BLOCK = 1 << 20
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True)
class Order:
    """A task with the place for its results. It can be pickled.

    :ivar task: the task
    :ivar permit: the path of the permit of the batch
    :ivar private: a directory for the order itself and the answer, which no hook sees
    :ivar staging: a new directory for the artefacts
    :ivar trees: all directories that hooks of the batch may write to
    """

    task: Task
    permit: str
    private: str
    staging: str
    trees: Sequence[str]


def build_package(order: Order) -> BuildResult:
    """Build one package in a process of its own. Its failure, of any kind, is the result."""
    began = time.monotonic()
    try:
        with Watch(order.permit) as watch:
            result = _built(order, watch)
    except FileNotFoundError:
        result = BuildResult(order.task.request, Outcome.STOPPED, error="it was not begun")
    except (OSError, ValueError) as problem:
        result = BuildResult(order.task.request, Outcome.FAILED, error=visible(str(problem), limit=_MAX_ERROR))
    return dataclasses.replace(result, seconds=time.monotonic() - began)


def _built(order: Order, watch: Watch) -> BuildResult:
    task = order.task
    result = BuildResult(task.request, Outcome.FAILED)
    try:
        if not task.is_tree:
            result = dataclasses.replace(result, source_sha256=digest_of(task.source))
        os.mkdir(order.staging)
    except OSError as problem:
        return dataclasses.replace(result, error=_cannot_use(problem))
    answer = f"{order.private}/answer"
    command = [sys.executable, *python_flags(Trees(order.trees)), _PROGRAM, _written(order, answer)]
    ended = supervise(command, watch, {**os.environ, **core_variables(task.request.cores, os.environ)})
    result = dataclasses.replace(result, log=ended.log)
    if ended.stopped:
        return dataclasses.replace(result, outcome=Outcome.STOPPED, error="it was interrupted")
    return _judged(order, _answer(answer), ended, result)


def _cannot_use(problem: OSError) -> str:
    name = visible(os.fsdecode(problem.filename or ""), limit=300)
    return f"{name!r} cannot be used: {problem.strerror}"


def digest_of(path: str) -> str:
    """Return the hexadecimal SHA-256 of a regular file.

    :raises OSError: it cannot be read, or is none
    """
    digest = hashlib.sha256()
    with open(os.open(path, _OPEN), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file", path)
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _written(order: Order, answer: str) -> str:
    """Write the order for the process that builds, and return its path."""
    document = {
        "parent": os.getpid(),
        "path": [entry for entry in trusted_path(Trees(order.trees)) if os.path.isabs(entry)],
        "prefix": (sys.prefix, sys.exec_prefix),
        "arguments": _arguments(order),
        "policy": order.task.policy.to_dict(),
        "trees": [*order.trees],
        "answer": answer,
    }
    path = f"{order.private}/order"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    return path


def _arguments(order: Order) -> list[str]:
    """Return the arguments for build's command line."""
    request = order.task.request
    kinds = {(True, False): ["--wheel"], (False, True): ["--sdist"]}.get((request.wheel, request.sdist), [])
    settings = ["--config-json", json.dumps(dict(request.config_settings))] if request.config_settings else []
    return ["--outdir", order.staging, *kinds, *settings, "--", order.task.source]


def _answer(path: str) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            document: Mapping[str, Any] = json.loads(file.read(_MAX_ANSWER))
            return document
    except (OSError, ValueError):  # it was killed
        return {}


def _judged(order: Order, answer: Mapping[str, Any], ended: Ended, result: BuildResult) -> BuildResult:
    """Return the result that an answer amounts to."""
    hooks = tuple(HookReport.from_dict(report) for report in answer.get("hooks", ()))
    result = dataclasses.replace(result, hooks=hooks)
    if ended.code or answer.get("code") != 0:
        kind = str(answer.get("kind", ""))
        error = str(answer.get("error", "")) or _last_error(hooks) or f"the build ended with exit code {ended.code}"
        return dataclasses.replace(result, outcome=_outcome_of(kind), error=visible(error, limit=_MAX_ERROR), kind=kind)
    try:
        request = order.task.request
        wheel = _artefact(order, hooks, "build_wheel", vet_wheel_name) if request.wheel else None
        sdist = _artefact(order, hooks, "build_sdist", vet_sdist_name) if request.sdist else None
        return dataclasses.replace(result, outcome=Outcome.BUILT, wheel=wheel, sdist=sdist)
    except UntrustedResultError as problem:
        error = visible(str(problem), limit=_MAX_ERROR)
        return dataclasses.replace(result, outcome=Outcome.REFUSED, error=error, kind=type(problem).__name__)


def _last_error(hooks: Sequence[HookReport]) -> str:
    failed = next((hook for hook in reversed(hooks) if hook.error), None)
    if failed is None:
        return ""
    # The error of a runner has the whole command, which says nothing to anybody.
    return f"{failed.hook}: " + (f"exit code {failed.returncode}" if failed.returncode else failed.error)


def _outcome_of(kind: str) -> Outcome:
    known = getattr(errors, kind, None) if kind in errors.__all__ else None
    if known is None:
        return Outcome.FAILED
    for outcome, classes in (
        (Outcome.LIMIT, (errors.HookTimeoutError, errors.HookKilledError)),
        (Outcome.REFUSED, (UntrustedResultError, PolicyError)),
        (Outcome.UNAVAILABLE, (errors.SandboxUnavailableError, errors.SandboxSetupError)),
    ):
        if issubclass(known, classes):
            return outcome
    return Outcome.FAILED


def _artefact(order: Order, hooks: Sequence[HookReport], hook: str, vet: Callable[[str], str]) -> BuiltFile:
    """Return the one artefact of a kind in the staging directory.

    :param hook: makes this kind
    :param vet: checks its name
    :raises UntrustedResultError: there is no such artefact or another one, or it is named after another project
    """
    left = set(os.listdir(order.staging))
    made = {a.name: a for report in hooks if report.hook == hook for a in report.artefacts if a.name in left}
    if len(made) != 1:
        raise UntrustedResultError(f"{hook} must leave one artefact", f"{len(made)}")
    artefact = next(iter(made.values()))
    vet(artefact.name)
    _check_project(order.task, artefact)
    return BuiltFile(os.path.join(order.staging, artefact.name), artefact.size, artefact.sha256)


def _check_project(task: Task, artefact: Artefact) -> None:
    """Check that a wheel has the name and the version of its sdist: only so it can take no other wheel's place."""
    if task.project is None or task.policy.allow_other_names:
        return
    name, version, *_ = parse_wheel_filename(artefact.name)
    if (name, version) != task.project:
        raise UntrustedResultError(
            f"the wheel must have the name and version of its sdist (expected {task.project[0]} {task.project[1]}) "
            "unless the policy allows other names",
            artefact.name,
        )
