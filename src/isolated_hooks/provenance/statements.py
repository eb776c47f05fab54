"""Makes the two statements of an artefact: SLSA's provenance, and what was enforced and denied."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..frozen import dataclass
from ..report import HookReport
from ..text import visible
from .envelopes import Sign
from .spelling import Spelling
from .terms import BUILD_TYPE, BUILDER, ENFORCEMENT, PROVENANCE, STATEMENT

__all__ = ["Build", "Call", "Material", "Subject", "encoded", "enforcement", "provenance"]

_MAX_NAMES = 200
_MAX_TEXT = 2000


@dataclass(frozen=True)
class Subject:
    """The artefact that statements are about.

    :ivar name: its file name
    :ivar sha256: its hexadecimal digest
    """

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Material:
    """Something that a build has used, SLSA's *resolved dependency*.

    :ivar name: its file name, or words for it
    :ivar digest: its hexadecimal digest
    :ivar algorithm: of the digest, as in-toto names it
    :ivar role: for what the build has used it
    """

    name: str
    digest: str
    algorithm: str = "sha256"
    role: str


@dataclass(frozen=True)
class Call:
    """One hook call.

    :ivar report: its report
    :ivar requirement: it was a hook of a build requirement, and not of the project
    """

    report: HookReport
    requirement: bool = False


@dataclass(frozen=True, kw_only=True)
class Build:
    """A build that has ended, and what both statements say of it.

    :ivar asked: what the caller asked for, as JSON values
    :ivar chosen: what the builder chose by itself, as JSON values
    :ivar policy: the policy as :func:`.policies.stated_policy` returns it
    :ivar versions: of this package, and of what else took part, by name
    :ivar invocation: a URI for this build alone
    :ivar started: when it began, as RFC 3339 has it
    :ivar finished: when it ended
    :ivar observed: whether somebody has looked at everything that hooks asked for
    :ivar spelling: the spelling of paths
    """

    asked: Mapping[str, Any]
    chosen: Mapping[str, Any]
    policy: Mapping[str, Any]
    versions: Mapping[str, str]
    invocation: str
    started: str
    finished: str
    observed: bool
    spelling: Spelling


def provenance(build: Build, subject: Subject, materials: Sequence[Material], calls: Sequence[Call]) -> dict[str, Any]:
    """Return the statement about how an artefact was made, with the predicate SLSA Provenance v1.

    :param calls: the hook calls up to the one that made the artefact
    """
    launchers = sorted({visible(call.report.launcher, limit=_MAX_TEXT) for call in calls if call.report.launcher})
    dropped = {name for call in calls for name in call.report.dropped}
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {**build.asked, "policy": build.policy},
        "internalParameters": {
            **build.chosen,
            "launchers": launchers,
            "variablesWithheld": _names(dropped, _MAX_NAMES * 5),
        },
        "resolvedDependencies": [_material(material) for material in materials],
    }
    details = {
        "builder": {"id": BUILDER, "version": dict(build.versions)},
        "metadata": {
            "invocationId": build.invocation,
            "startedOn": build.started,
            "finishedOn": build.finished,
        },
    }
    return _statement(subject, PROVENANCE, {"buildDefinition": definition, "runDetails": details})


def enforcement(build: Build, subject: Subject, calls: Sequence[Call]) -> dict[str, Any]:
    """Return the statement about what was enforced and denied.

    :param calls: the hook calls up to the one that made the artefact
    """
    predicate = {
        "monitor": {"id": BUILDER, "version": build.versions["isolated-hooks"]},
        "policy": build.policy,
        "observed": build.observed,
        "degraded": _degraded(calls),
        "hooks": [_call(call, build.spelling) for call in calls],
        "metadata": {
            "invocationId": build.invocation,
            "startedOn": build.started,
            "finishedOn": build.finished,
        },
    }
    return _statement(subject, ENFORCEMENT, predicate)


def encoded(statements: Sequence[Mapping[str, Any]], sign: Sign | None = None) -> bytes:
    """Return statements as JSON Lines in ASCII: each line is one, or with ``sign`` its envelope."""
    lines = map(_encoded, statements)
    return b"".join((line if sign is None else _encoded(sign(line))) + b"\n" for line in lines)


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def _statement(subject: Subject, kind: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    subjects = [{"name": visible(subject.name), "digest": {"sha256": subject.sha256}}]
    return {"_type": STATEMENT, "subject": subjects, "predicateType": kind, "predicate": predicate}


def _material(material: Material) -> dict[str, Any]:
    return {
        "name": visible(material.name, limit=_MAX_TEXT),
        "digest": {material.algorithm: material.digest},
        "annotations": {"role": material.role},
    }


def _names(names: set[str], most: int) -> list[str]:
    return [visible(name, limit=_MAX_TEXT) for name in sorted(names)[:most]]


def _degraded(calls: Sequence[Call]) -> list[str]:
    """Return the names of the protections that were not active for each hook."""
    return sorted({s.protection.value for c in calls for s in c.report.protections if s.state.value != "active"})


def _call(call: Call, spelling: Spelling) -> dict[str, Any]:
    report = call.report
    return {
        "hook": visible(report.hook, limit=_MAX_TEXT),
        "of": "requirement" if call.requirement else "project",
        "launcher": visible(report.launcher, limit=_MAX_TEXT),
        "returncode": report.returncode,
        "failed": bool(report.error),
        "protections": {
            s.protection.value: {"state": s.state.value, "reason": spelling.reason(s.reason)}
            for s in report.protections
        },
        "limitsMet": [] if report.details is None else list(report.details.limits),
        "connections": [_connection(c, spelling) for c in report.connections[:_MAX_NAMES]],
        "denied": [
            {
                "cause": visible(hint.cause, limit=_MAX_TEXT),
                "what": spelling.subject(hint.what),
                "program": spelling.text(hint.program),
                "count": hint.count,
            }
            for hint in (report.denied or report.hints)[:_MAX_NAMES]
        ],
        "repositoriesSetAside": len(report.set_aside),
        "artifacts": [
            {"name": visible(a.name, limit=_MAX_TEXT), "digest": {"sha256": a.sha256}}
            for a in report.artefacts[:_MAX_NAMES]
        ],
    }


def _connection(connection: Any, spelling: Spelling) -> dict[str, Any]:
    return {
        "host": spelling.text(connection.host),
        "port": connection.port,
        "count": connection.count,
        "sent": connection.sent,
        "received": connection.received,
        "problem": spelling.text(connection.problem),
    }
