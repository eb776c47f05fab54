"""The part of a build that an executor runs: it starts the process that builds, and makes a result of its answer."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import errors
from ..errors import IsolatedHooksError, PolicyError, UntrustedResultError
from ..files.steered import record_trees, recorded_trees
from ..frontends.copies import Copies
from ..frontends.imports import python_flags, trusted_path
from ..frontends.pip.records import public_name
from ..frontends.supplies import NeedsError, Supplies
from ..frontends.surroundings import outside_environ
from ..frozen import dataclass
from ..report import HookReport
from ..results.artefacts import vet_sdist_name, vet_wheel_name
from ..results.names import project_of
from ..text import visible
from .cores import core_variables
from .needs import build_requirements, requirements
from .outcomes import BuildResult, BuiltFile, Outcome, UsedWheel
from .permit import Watch
from .pinned import Pin
from .requests import Task
from .resuming import Inputs, Standing, digest_of, inputs_of, stands
from .supervise import Ended, supervise

__all__ = ["Order", "Supplied", "Waits", "build_package"]

#: The script that the trusted interpreter runs. This module does not import it.
_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py")
_MAX_ANSWER = 64 << 20
_MAX_ERROR = 2000


@dataclass(frozen=True)
class Supplied:
    """What a build has of the other packages of its run.

    :ivar index: the URL of the directory in which the index of the wheels is
    :ivar wheels: the wheels in the index
    :ivar others: the path of the file of all packages, its own number, and the names that are of no use to it; ``None``
        if it waits for none
    """

    index: str = ""
    wheels: tuple[UsedWheel, ...] = ()
    others: tuple[str, int, tuple[str, ...]] | None = None

    def values(self) -> dict[str, Any]:
        """Return JSON values for :meth:`..frontends.supplies.Supplies.load`."""
        others = self.others and dict(zip(("path", "number", "elsewhere"), self.others, strict=True))
        return {"index": self.index, "wheels": [dataclasses.asdict(wheel) for wheel in self.wheels], "others": others}


@dataclass(frozen=True)
class Order:
    """A task with the place for its results. It can be pickled.

    :ivar task: the task
    :ivar permit: the path of the permit of the batch
    :ivar private: a directory for the order itself and the answer, which no hook sees
    :ivar staging: a new directory for the artefacts
    :ivar trees: all directories that hooks of the batch may write to
    :ivar standing: the wheels that earlier runs have left, by their inputs
    :ivar supplied: what it has of the other packages
    :ivar begun: what was done of it before it had to wait for another package
    """

    task: Task
    permit: str
    private: str
    staging: str
    trees: Sequence[str]
    standing: Mapping[Inputs, Standing] = dataclasses.field(default_factory=dict)
    supplied: Supplied = dataclasses.field(default_factory=Supplied)
    begun: BuildResult | None = None


@dataclass(frozen=True)
class Waits:
    """A build that has to wait for other packages of its run. It can be pickled.

    :ivar task: its task, whose sdist is there now
    :ivar begun: what was done of it
    :ivar needs: the requirements that name the other packages
    """

    task: Task
    begun: BuildResult
    needs: tuple[str, ...]


def build_package(order: Order) -> BuildResult | Waits:
    """Build one package in a process of its own. Its failure, of any kind, is the result."""
    began = time.monotonic()
    record_trees(order.trees)
    result = order.begun or BuildResult(order.task.request, Outcome.FAILED)
    ended: BuildResult | Waits
    try:
        with Watch(order.permit) as watch:
            ended = _Build(order, watch, result).run()
    except FileNotFoundError:
        ended = dataclasses.replace(result, outcome=Outcome.STOPPED, error="it was not begun")
    seconds = result.seconds + time.monotonic() - began
    if isinstance(ended, Waits):
        return dataclasses.replace(ended, begun=dataclasses.replace(ended.begun, seconds=seconds))
    return dataclasses.replace(ended, seconds=seconds)


class _Build:
    def __init__(self, order: Order, watch: Watch, result: BuildResult) -> None:
        self._order = order
        self._task = order.task
        self._watch = watch
        self._result = result

    def run(self) -> BuildResult | Waits:
        try:
            if self._task.pin is None or self._task.source or self._fetch(self._task.pin):
                self._build()
        except NeedsError as problem:
            return Waits(self._task, self._result, problem.needs)
        except IsolatedHooksError as problem:
            self._fail(str(problem), public_name(type(problem)))
        except OSError as problem:
            self._fail(f"{os.fsdecode(problem.filename or '')!r} cannot be used: {problem.strerror}")
        except ValueError as problem:
            self._fail(str(problem))
        return self._result

    def _fetch(self, pin: Pin) -> bool:
        """Fetch the sdist, and return whether to go on."""
        from .fetching import fetch  # it imports pypa/build, and few batches need it

        fetched = fetch(pin, self._order.private, self._task.policy, self._watch)
        self._change(log=fetched.ended.log, hooks=fetched.hooks)
        if fetched.ended.stopped:
            self._change(outcome=Outcome.STOPPED, error="it was interrupted")
        elif not fetched.path:
            problem = fetched.problems[-1] if fetched.problems else None
            text = problem.text if problem else f"exit code {fetched.ended.code}"
            self._fail(f"pip did not fetch {pin.text}: {text}", public_name(problem.kind) if problem else "")
        self._task = dataclasses.replace(self._task, source=fetched.path)
        return bool(fetched.path)

    def _build(self) -> None:
        if not self._task.is_tree and self._stands():
            return
        supplied = self._order.supplied
        if supplied.others:
            Supplies.load(self._order.supplied.values()).check(build_requirements(self._task))
        os.mkdir(self._order.staging)
        answer = f"{self._order.private}/answer"
        with Copies(recorded_trees()) as copies:
            environ = {**outside_environ(os.environ, copies), **self._variables()}
            command = [sys.executable, *python_flags(recorded_trees()), _PROGRAM, self._written(answer)]
            ended = supervise(command, self._watch, environ, tied=True)
        if supplied.index:
            ended = dataclasses.replace(ended, log=ended.log.replace(supplied.index, "(the wheels of this run)/"))
        self._change(log=self._result.log + ended.log)
        if ended.stopped:
            self._change(outcome=Outcome.STOPPED, error="it was interrupted")
        else:
            self._judge(_answer(answer), ended)

    def _stands(self) -> bool:
        """Return whether there is nothing to build: an earlier run has built it, or the sdist is another one.

        :raises NeedsError: it depends on a package that has to be built first
        """
        digest = self._result.source_sha256 or digest_of(self._task.source)
        self._change(source_sha256=digest)
        if self._task.pin is not None and (refusal := self._task.pin.refusal(digest)):
            self._change(outcome=Outcome.REFUSED, error=refusal)
            return True
        found = self._order.standing.get(inputs_of(digest, self._task.policy, self._task.request.config_settings))
        if found is None or not stands(found.wheel):
            return False
        Supplies.load(self._order.supplied.values()).check(requirements(found.requirements))
        used = self._order.supplied.wheels
        if {*used} != {*found.used}:
            return False
        self._change(outcome=Outcome.STANDS, wheel=found.wheel, requirements=found.requirements, used=used)
        return True

    def _variables(self) -> dict[str, str]:
        temporary = f"{self._order.private}/tmp"
        os.mkdir(temporary)
        return {**core_variables(self._task.request.cores, os.environ), "TMPDIR": temporary}

    def _written(self, answer: str) -> str:
        """Write the order for the process that builds, and return its path."""
        document = {
            "parent": os.getpid(),
            "path": [entry for entry in trusted_path(recorded_trees()) if os.path.isabs(entry)],
            "prefix": (sys.prefix, sys.exec_prefix),
            "sdist": not self._task.is_tree,
            "arguments": _arguments(self._task, self._order.staging),
            "policy": self._task.policy.to_dict(),
            "trees": [*self._order.trees],
            "answer": answer,
            "supplies": self._order.supplied.values(),
        }
        path = f"{self._order.private}/order"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return path

    def _judge(self, answer: Mapping[str, Any], ended: Ended) -> None:
        hooks = tuple(HookReport.from_dict(report) for report in answer.get("hooks", ()))
        self._change(hooks=(*self._result.hooks, *hooks), requirements=(*answer.get("asked", ()),))
        self._change(used=self._order.supplied.wheels)
        if needs := answer.get("needs"):
            raise NeedsError(needs)
        if ended.code or answer.get("code") != 0:
            error = str(answer.get("error", "")) or _last_error(hooks) or _last_line(ended)
            self._fail(error, str(answer.get("kind", "")))
            return
        request = self._task.request
        wheel = self._artefact(hooks, "build_wheel", vet_wheel_name) if request.wheel else None
        sdist = self._artefact(hooks, "build_sdist", vet_sdist_name) if request.sdist else None
        self._change(outcome=Outcome.BUILT, wheel=wheel, sdist=sdist)

    def _artefact(self, hooks: Sequence[HookReport], hook: str, vet: Callable[[str], str]) -> BuiltFile:
        """Return the one artefact of a kind in the staging directory.

        :param hook: makes this kind
        :param vet: checks its name
        :raises UntrustedResultError: there is no such artefact, or it is named after another project than the sdist
        """
        left = set(os.listdir(self._order.staging))
        artefacts = {a.name: a for report in hooks if report.hook == hook for a in report.artefacts if a.name in left}
        if len(artefacts) != 1:
            raise UntrustedResultError(f"{hook} must leave one artefact", f"{len(artefacts)}")
        artefact = next(iter(artefacts.values()))
        _check_project(self._task, vet(artefact.name))
        return BuiltFile(os.path.join(self._order.staging, artefact.name), artefact.size, artefact.sha256)

    def _fail(self, error: str, kind: str = "") -> None:
        self._change(outcome=_outcome_of(kind), error=visible(error, limit=_MAX_ERROR), kind=kind)

    def _change(self, **changes: Any) -> None:
        self._result = dataclasses.replace(self._result, **changes)


def _arguments(task: Task, staging: str) -> list[str]:
    """Return the arguments for build's command line."""
    request = task.request
    kinds = {(True, False): ["--wheel"], (False, True): ["--sdist"]}.get((request.wheel, request.sdist), [])
    settings = ["--config-json", json.dumps(dict(request.config_settings))] if request.config_settings else []
    return ["--outdir", staging, *kinds, *settings, "--", task.source]


def _answer(path: str) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            document: Mapping[str, Any] = json.loads(file.read(_MAX_ANSWER))
            return document
    except (OSError, ValueError):  # it was killed
        return {}


def _last_error(hooks: Sequence[HookReport]) -> str:
    failed = next((hook for hook in reversed(hooks) if hook.error), None)
    if failed is None:
        return ""
    # The error of a runner has the whole command, which says nothing to anybody.
    return f"{failed.hook}: " + (f"exit code {failed.returncode}" if failed.returncode else failed.error)


def _last_line(ended: Ended) -> str:
    """Return the last error that build has printed, or the exit code."""
    errors = (line.removeprefix("ERROR ") for line in reversed(ended.log.splitlines()) if line.startswith("ERROR "))
    return next(errors, f"the build ended with exit code {ended.code}")


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


def _check_project(task: Task, artefact: str) -> None:
    """Check that an artefact has the name of its project, and the version of its sdist.

    :raises UntrustedResultError: it has not, so it could take another one's place
    """
    name, version = project_of(artefact)
    if task.policy.allow_other_names or (task.name in (None, name) and task.project in (None, (name, version))):
        return
    named = "its project", f"{task.name}, in any version"
    if task.project is not None:
        named = "its sdist", f"{task.project[0]} {task.project[1]}"
    raise UntrustedResultError(
        f"the wheel must have the name and version of {named[0]} (expected {named[1]}) unless the policy allows other "
        "names",
        artefact,
    )
