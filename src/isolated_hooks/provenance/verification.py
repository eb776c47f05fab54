"""Checks statements that somebody else may have written against a file and a policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import PolicyError, UntrustedResultError
from ..frozen import dataclass
from ..policy import Policy
from ..protections import Protection, ProtectionState
from ..results.strictjson import parse_object
from ..text import visible
from .envelopes import Check, EnvelopeError, payload_of
from .policies import check_stated, weaknesses
from .statements import Subject
from .terms import BUILD_TYPE, BUILDER, ENFORCEMENT, MAX_STATEMENTS, PROVENANCE, STATEMENT

__all__ = ["Statement", "Verdict", "Wanted", "parsed_statements", "verified"]

_MAKERS = ("build_wheel", "build_sdist", "build_editable")
_MOST_LINES = 256
_MOST_PROBLEMS = 20


@dataclass(frozen=True)
class Statement:
    """One statement.

    :ivar place: where it stands, for messages
    :ivar kind: the type of its predicate
    :ivar subjects: its subjects
    :ivar predicate: its predicate
    """

    place: str
    kind: str
    subjects: tuple[Subject, ...]
    predicate: Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What statements have to say.

    :ivar subject: the file
    :ivar policy: the policy that says which protections have to be active
    :ivar given: the same as a statement would have it, if the stated policy must not allow more
    """

    subject: Subject
    policy: Policy
    given: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Verdict:
    """The outcome.

    :ivar problems: a sentence for each thing that is wrong; if there is none, the file is verified
    :ivar facts: sentences about what the statements say, if there is no problem
    """

    problems: tuple[str, ...]
    facts: tuple[str, ...] = ()


class _MalformedError(Exception):
    """A statement has another form than ours; the text says which."""


def parsed_statements(data: bytes, name: str, check: Check | None = None) -> list[Statement]:
    """Return the statements of a file: JSON Lines, each line a Statement v1 of in-toto, or one in an envelope.

    :param name: of the file, for messages
    :param check: checks the signatures of each envelope; without it, nobody does
    :raises UntrustedResultError: it is too large, or a line is anything else, or not signed as it has to be
    """
    if len(data) > MAX_STATEMENTS:
        raise UntrustedResultError(f"{name} must not be larger than {MAX_STATEMENTS} bytes")
    lines = data.removesuffix(b"\n").split(b"\n") if data.strip() else []
    if not lines or len(lines) > _MOST_LINES:
        raise UntrustedResultError(f"{name} must have 1 to {_MOST_LINES} statements, one a line (got {len(lines)})")
    return [_statement(line, f"{name}, line {number}", check) for number, line in enumerate(lines, 1)]


def _statement(line: bytes, place: str, check: Check | None) -> Statement:
    document = parse_object(line, place)
    try:
        if "payload" in document:
            line = payload_of(document)
            if check is not None and not check(document):
                raise _MalformedError("no signature of it is by the given key")
            document = parse_object(line, f"the payload of {place}")
        elif check is not None:
            raise _MalformedError("it is not signed (expected an envelope with a signature by the given key)")
        if document.get("_type") != STATEMENT:
            raise _MalformedError(f"it is no in-toto Statement v1 (expected the _type {STATEMENT})")
        subjects = tuple(_subject(entry) for entry in _list(document, "subject"))
        if not subjects:
            raise _MalformedError("it has no subject")
        return Statement(place, _text(document, "predicateType"), subjects, _object(document, "predicate"))
    except (_MalformedError, EnvelopeError) as problem:
        raise UntrustedResultError(f"{place}: {problem}") from None


def _subject(entry: object) -> Subject:
    if not isinstance(entry, dict):
        raise _MalformedError("a subject is no object")
    name = entry.get("name", "")
    return Subject(name if isinstance(name, str) else "", _text(_object(entry, "digest"), "sha256"))


def verified(statements: Sequence[Statement], wanted: Wanted) -> Verdict:
    """Check statements about one file: one of its provenance and one of what was enforced, of one build.

    Statements with predicates of others are left out.
    """
    ours = [statement for statement in statements if statement.kind in (PROVENANCE, ENFORCEMENT)]
    problems = [*_of_subject(ours, wanted.subject)]
    for kind, words in ((PROVENANCE, "how it was built"), (ENFORCEMENT, "what was enforced")):
        if not any(statement.kind == kind for statement in ours):
            problems.append(f"no statement says {words} (expected one with the predicate {kind})")
    for statement in ours:
        check = _provenance if statement.kind == PROVENANCE else _enforcement
        try:
            problems += [f"{statement.place}: {problem}" for problem in check(statement.predicate, wanted)]
        except (_MalformedError, PolicyError) as problem:
            problems.append(f"{statement.place}: {problem}")
    if not problems:
        problems += _of_one_build(ours)
    if problems:
        more = [f"and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        return Verdict((*problems[:_MOST_PROBLEMS], *more))
    return Verdict((), tuple(_facts(ours, len(statements))))


def _of_subject(statements: Iterable[Statement], subject: Subject) -> Iterator[str]:
    for statement in statements:
        same = [other for other in statement.subjects if other.sha256 == subject.sha256]
        if not same:
            named = [other for other in statement.subjects if other.name == subject.name]
            stated = f", got {visible(named[0].sha256, limit=64)}" if named else ""
            yield (
                f"{statement.place}: the file is not its subject: the SHA-256 of the file is {subject.sha256}{stated}. "
                "The file has changed, or the statement is about another one"
            )
        elif subject.name not in {other.name for other in same}:
            yield (
                f"{statement.place}: the file has another name there (expected {visible(subject.name)!r}, got "
                f"{visible(same[0].name, limit=255)!r})"
            )


def _provenance(predicate: Mapping[str, Any], wanted: Wanted) -> Iterator[str]:  # noqa: ARG001 - one of two checks
    definition, details = _object(predicate, "buildDefinition"), _object(predicate, "runDetails")
    builder = _text(_object(details, "builder"), "id")
    if (_text(definition, "buildType"), builder) != (BUILD_TYPE, BUILDER):
        yield f"another builder made it (expected {BUILDER}, got {visible(builder, limit=200)!r})"
        return
    _object(definition, "internalParameters")
    check_stated(_object(definition, "externalParameters").get("policy"))
    _text(_object(details, "metadata"), "invocationId")
    for material in _list(definition, "resolvedDependencies"):
        if not isinstance(material, dict) or not _object(material, "digest"):
            yield "a resolved dependency has no digest"


def _enforcement(predicate: Mapping[str, Any], wanted: Wanted) -> Iterator[str]:
    if _text(_object(predicate, "monitor"), "id") != BUILDER:
        yield f"another monitor made it (expected {BUILDER})"
        return
    _text(_object(predicate, "metadata"), "invocationId")
    stated = check_stated(predicate.get("policy"))
    if wanted.given is not None:
        for sentence in weaknesses(stated, wanted.given):
            yield f"the stated policy: {sentence}"
    hooks = [*map(_hook, _list(predicate, "hooks"))]
    for number, hook in enumerate(hooks, 1):
        name = visible(_text(hook, "hook"), limit=100)
        for problem in _protections(hook, wanted.policy):
            yield f"hook {number}, {name}: {problem}"
    if not any(_has_made(hook, wanted.subject) for hook in hooks):
        yield "no hook that succeeded is stated to have made this file"


def _hook(entry: object) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise _MalformedError("a hook is no object")
    return entry


def _has_made(hook: Mapping[str, Any], subject: Subject) -> bool:
    if hook.get("hook") not in _MAKERS or hook.get("failed") is not False or hook.get("of") != "project":
        return False
    return any(_subject(entry) == subject for entry in _list(hook, "artifacts"))


def _protections(hook: Mapping[str, Any], policy: Policy) -> Iterator[str]:
    """Yield a sentence for each protection that the policy requires and the hook did not have."""
    stated = _object(hook, "protections")
    unknown = sorted({*stated} - {protection.value for protection in Protection})
    if unknown:
        raise _MalformedError(f"the protection {visible(unknown[0], limit=100)!r} is unknown to this version")
    for protection in Protection:
        if protection.value not in stated:
            yield f"nothing is stated about the protection {protection.value}"
            continue
        entry = _object(stated, protection.value)
        try:
            state = ProtectionState(_text(entry, "state"))
        except ValueError:
            raise _MalformedError(f"the protection {protection.value} has an unknown state") from None
        if not policy.permits(protection, state):
            yield (
                f"the protection {protection.value} was {state.value}: {visible(_text(entry, 'reason'), limit=500)} "
                f"(expected active). Remedy: if you accept that, say --allow-degraded {protection.value}"
            )


def _of_one_build(statements: Iterable[Statement]) -> Iterator[str]:
    """Yield a sentence if statements, each right in itself, are of several builds or contradict each other."""
    seen: list[tuple[object, object]] = []
    for statement in statements:
        predicate = statement.predicate
        if statement.kind == PROVENANCE:
            metadata = predicate["runDetails"]["metadata"]
            policy = predicate["buildDefinition"]["externalParameters"]["policy"]
        else:
            metadata, policy = predicate["metadata"], predicate["policy"]
        seen.append((metadata["invocationId"], policy))
    if any(invocation != seen[0][0] for invocation, _ in seen):
        yield "the statements are of different builds: their invocationId differs. Remedy: give those of one build"
    elif any(policy != seen[0][1] for _, policy in seen):
        yield "the statements contradict each other: their policies differ"


def _facts(statements: Sequence[Statement], count: int) -> Iterator[str]:
    predicate = next(s.predicate for s in statements if s.kind == ENFORCEMENT)
    hooks = predicate["hooks"]
    weaker = sorted({n for hook in hooks for n, entry in hook["protections"].items() if entry["state"] != "active"})
    yield f"{len(hooks)} hook{'s' if len(hooks) > 1 else ''} ran under every protection that the policy requires"
    if weaker:
        yield f"not active for each hook, which the policy accepts: {visible(', '.join(weaker), limit=500)}"
    others = count - len(statements)
    if others:
        yield f"{others} statement{'s' if others > 1 else ''} with predicates of others left out"


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    if not isinstance(value, dict):
        raise _MalformedError(f"{key} is no object")
    return value


def _list(document: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise _MalformedError(f"{key} is no list")
    return value


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise _MalformedError(f"{key} is no text")
    return value
