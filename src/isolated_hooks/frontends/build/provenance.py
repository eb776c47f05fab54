"""The statements of ``isolated-hooks build --provenance``: what is read before the first hook, and written at the end.

What a statement says comes from the reports of the hook calls, and from digests: of what went in, taken before a hook
could change it, and of what was built, taken when it was vetted.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import build

from ...errors import IsolatedHooksError, PolicyError, UntrustedResultError
from ...files.digests import directory_digest, file_digest
from ...files.entries import NAME_MAX
from ...files.replaced import ReplacedFiles
from ...policy import Policy
from ...provenance.policies import stated_policy
from ...provenance.spelling import Spelling
from ...provenance.statements import Build, Call, Material, Subject, encoded, enforcement, provenance
from ...provenance.terms import ENDING, MAX_STATEMENTS
from ...report import HookReport
from ...results.artefacts import Artefact
from ...text import visible
from .inputs import trees_of
from .recording import Recorded
from .reporting import ARTEFACTS, output_directory
from .signing import signer_of

__all__ = ["Provenance"]

_LABEL = "--provenance"
# Git changes it at every command, and hooks only read it.
_LEFT_OUT = frozenset((b".git",))


class Provenance:
    """The directory for the statements of one build, as a context manager. Enter it before the first hook.

    :param directory: the directory
    :param options: as build's own parser returns them
    :param policy: the policy of the build
    :param version: of this package
    :param typed: how the caller has typed paths of the policy, by absolute path
    :param observed: whether the hooks are observed
    :param key: a file with the private key that signs the statements
    :raises PolicyError: nothing can be written there, or the source cannot be read
    """

    def __init__(
        self,
        directory: str,
        options: argparse.Namespace,
        policy: Policy,
        *,
        version: str,
        typed: Mapping[str, str],
        observed: bool = False,
        key: str | None = None,
    ) -> None:
        self._options, self._policy, self._version = options, policy, version
        self._typed, self._observed = typed, observed
        self._recorded = Recorded(())
        if left := sorted({*ARTEFACTS} - policy.hooks):
            raise PolicyError(
                f"{_LABEL}: nobody vets what {left[0]} builds without a sandbox. Remedy: name it in 'hooks' of "
                "the policy"
            )
        self._sign = None if key is None else signer_of(key, options, policy)
        self._files = ReplacedFiles(directory, _LABEL, trees_of(options, policy))
        try:
            self._began = _now()
            self._source = _source(options.srcdir)
            self._constraints = _constraints(getattr(options, "dependency_constraints_txt", None))
        except BaseException:
            self._files.__exit__(None, None, None)
            raise

    def __enter__(self) -> Provenance:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, traceback)

    def recorded(self, reports: list[HookReport]) -> Recorded:
        """Return what gets what the environments of the build install.

        :param reports: the list that gets the report of each call
        """
        self._recorded = Recorded(reports)
        return self._recorded

    def write(self) -> Sequence[str]:
        """Write the statements of each artefact that the build has left, and return the names of the files.

        If an artefact has changed, or has too long a name, no file is written.

        :raises UntrustedResultError: an artefact is not what was vetted
        :raises IsolatedHooksError: they could not be written
        """
        built = self._build()
        documents = {
            artefact.name + ENDING: self._statements(built, number, artefact) for number, artefact in self._artefacts()
        }
        for name, data in documents.items():
            if len(os.fsencode(name)) > NAME_MAX:
                raise IsolatedHooksError(f"{_LABEL}: {name} is too long for a file name (expected {NAME_MAX} bytes)")
            if len(data) > MAX_STATEMENTS:
                raise IsolatedHooksError(f"{_LABEL}: {name} is too large (expected at most {MAX_STATEMENTS} bytes)")
        for name, data in documents.items():
            try:
                self._files.write(name, data)
            except OSError as error:
                raise IsolatedHooksError(f"{_LABEL}: {name} could not be written: {error.strerror}") from error
        return [*documents]

    def _artefacts(self) -> Sequence[tuple[int, Artefact]]:
        """Return the artefacts of the project, each with the number of the call that made it.

        :raises UntrustedResultError: the output directory has something else in the place of one
        """
        artefacts = {}
        for number, report in enumerate(self._recorded.reports):
            if report.hook in ARTEFACTS and number not in self._recorded.required:
                artefacts.update({artefact.name: (number, artefact) for artefact in report.artefacts})
        directory = os.path.realpath(output_directory(self._options))
        for _, artefact in artefacts.values():
            try:
                same = file_digest(os.path.join(directory, artefact.name)) == artefact.sha256
            except OSError:
                same = False
            if not same:
                raise UntrustedResultError(
                    "no statement is made about an artefact that has changed after it was vetted: build it again",
                    artefact.name,
                )
        return [*artefacts.values()]

    def _statements(self, built: Build, number: int, artefact: Artefact) -> bytes:
        reports, required = self._recorded.reports, self._recorded.required
        calls = [Call(report, at in required) for at, report in enumerate(reports[: number + 1])]
        materials = [self._source_of(number), *self._constraints, *self._recorded.used_for(number)]
        subject = Subject(artefact.name, artefact.sha256)
        return encoded([provenance(built, subject, materials, calls), enforcement(built, subject, calls)], self._sign)

    def _source_of(self, number: int) -> Material:
        """Return what an artefact was built from: without -s and -w, the wheel is built from the sdist."""
        reports = self._recorded.reports
        if reports[number].hook == "build_wheel" and not self._options.distributions:
            for at, report in enumerate(reports[:number]):
                if report.hook == "build_sdist" and at not in self._recorded.required:
                    (sdist,) = report.artefacts
                    return Material(name=sdist.name, digest=sdist.sha256, role="sdist, built here from the source tree")
        return self._source

    def _build(self) -> Build:
        isolated = not self._options.no_isolation
        spelling = self._spelling()
        return Build(
            asked=_asked(self._options, spelling),
            chosen={
                "platform": f"{platform.system()} {platform.machine()}",
                "interpreter": platform.python_implementation(),
                "buildEnvironment": "made for the build" if isolated else "the caller's own",
            },
            policy=stated_policy(self._policy, spelling),
            versions={
                "isolated-hooks": self._version,
                "build": str(build.__version__),
                "python": platform.python_version(),
            },
            invocation=f"urn:uuid:{uuid.uuid4()}",
            started=self._began,
            finished=_now(),
            observed=self._observed,
            spelling=spelling,
        )

    def _spelling(self) -> Spelling:
        trees = {tree for r in self._recorded.reports for tree in (r.source_dir, os.path.realpath(r.source_dir))}
        places = {os.getcwd(): "(the current directory)"}
        places |= {os.path.realpath(output_directory(self._options)): "(the output directory)"}
        return Spelling(os.path.expanduser("~"), {**places, **dict.fromkeys(trees, "(a source tree)")}, self._typed)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _source(path: str) -> Material:
    """Return the source as it is before the first hook.

    :raises PolicyError: a part of it cannot be read
    """
    try:
        if os.path.isdir(path):
            digest = directory_digest(path, without=_LEFT_OUT)
            return Material(name="source tree", digest=digest, algorithm="dirHash", role="source tree, without .git")
        actual = file_digest(os.path.realpath(path))
    except OSError as error:
        within = os.fsdecode(error.filename) if os.path.isdir(path) and error.filename else ""
        named = visible(os.path.join(path, within) if within else path, limit=300)
        raise PolicyError(
            f"{_LABEL}: the source cannot be read for its digest: {named!r}: {error.strerror}. Remedy: make it "
            "readable for you, or move it away"
        ) from error
    if actual is None:
        raise PolicyError(f"{_LABEL}: {visible(path, limit=300)!r} is neither a directory nor a file")
    return Material(name=os.path.basename(path), digest=actual, role="sdist")


def _constraints(path: str | None) -> Sequence[Material]:
    """Return the file with constraints. A pipe can be read only once, so it has no digest."""
    try:
        digest = None if path is None else file_digest(os.path.realpath(path))
    except OSError:
        return ()  # build prints it
    return () if digest is None else [Material(name="constraints", digest=digest, role="constraints of requirements")]


def _asked(options: argparse.Namespace, spelling: Spelling) -> dict[str, Any]:
    source = "." if options.srcdir == os.getcwd() else spelling.typed(options.srcdir)
    return {
        "command": "build",
        "source": source,
        "distributions": [*(options.distributions or ())],
        "isolation": not options.no_isolation,
        "installer": str(getattr(options, "installer", "pip")),
        "skipDependencyCheck": bool(options.skip_dependency_check),
        "configSettings": _settings(options, spelling),
    }


def _settings(options: argparse.Namespace, spelling: Spelling) -> Any:
    """Return the settings for the backend. A setting that was given several times has a list."""
    text = getattr(options, "config_json", None)
    if text:
        return spelling.setting("", json.loads(text))
    settings: dict[str, Any] = {}
    for entry in getattr(options, "config_settings", None) or ():
        name, _, value = entry.partition("=")
        settings.setdefault(name, []).append(value)
    return spelling.setting("", {name: v if len(v) > 1 else v[0] for name, v in settings.items()})
