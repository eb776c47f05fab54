"""The file with the answers of hooks that were recorded: what it holds, and how we read it.

``docs/answers.schema.json`` describes it. Somebody reviews it, so it is JSON for people: each answer stands beside the
question that it answers. A hook wrote the requirements, so we vet them again each time that we read them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import UntrustedResultError
from ..frozen import dataclass
from ..text import is_visible
from .answer import Output
from .requirements import FILE, WEB, vet_requirements
from .strictjson import parse_object

__all__ = ["HOOKS", "MAX_ANSWERS", "SCHEMA", "Answer", "Question", "Sdist", "encoded", "output_of", "parsed"]

#: The version of the file: a change that breaks readers changes the first number.
SCHEMA = "1.0"
#: The most bytes of the file. The answers for ten thousand packages have fewer.
MAX_ANSWERS = 32 << 20
#: The hooks whose answers are recorded: those that return requirements.
HOOKS = frozenset(("get_requires_for_build_sdist", "get_requires_for_build_wheel", "get_requires_for_build_editable"))
_LABEL = "a file with answers"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_MAX_NAME = 300


@dataclass(frozen=True, kw_only=True)
class Question:
    """What an answer depends on, as far as somebody outside the sandbox can tell.

    :ivar hook: the hook's name
    :ivar tree: the ``dirHash`` of the source tree, see :func:`isolated_hooks.files.digests.directory_digest`
    :ivar implementation: the interpreter that runs the hook, ``cpython`` for instance
    :ivar python: its version, ``3.11`` for instance
    :ivar platform: system and machine, ``linux-x86_64`` for instance
    :ivar settings: the SHA-256 of the config settings as canonical JSON, or an empty text if there are none
    """

    hook: str
    tree: str
    implementation: str
    python: str
    platform: str
    settings: str = ""

    @property
    def where(self) -> tuple[str, str, str]:
        """The interpreter and the platform."""
        return self.implementation, self.python, self.platform


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One recorded answer.

    :ivar question: what was asked
    :ivar name: the name of the source tree, for people
    :ivar settings: the names of the config settings, for people
    :ivar requirements: what the hook returned
    """

    question: Question
    name: str
    settings: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sdist:
    """The sdist that a command has built from.

    :ivar name: its file name
    :ivar sha256: its digest
    """

    name: str
    sha256: str


def encoded(answers: Iterable[Answer], *, sdist: Sdist | None = None) -> bytes:
    """Return the file for some answers, in an order that does not depend on the order of the calls.

    :param sdist: the sdist that all of them come from, if there is one
    """
    rows = [_row(answer) for answer in answers]
    rows.sort(key=lambda row: json.dumps([row["tree"], row["hook"], row], sort_keys=True))
    document = {
        "schema": SCHEMA,
        "sdist": None if sdist is None else {"name": sdist.name, "sha256": sdist.sha256},
        "answers": rows,
    }
    return json.dumps(document, indent=2).encode("ascii") + b"\n"


def _row(answer: Answer) -> dict[str, Any]:
    asked = answer.question
    return {
        "hook": asked.hook,
        "tree": {"name": answer.name, "dirHash": asked.tree},
        "interpreter": {"implementation": asked.implementation, "version": asked.python, "platform": asked.platform},
        "settings": {"names": [*answer.settings], "sha256": asked.settings} if asked.settings else None,
        "requirements": [*answer.requirements],
    }


def output_of(answer: Answer, *, allow_url_requirements: bool) -> Output:
    """Return an answer as a hook would give it, with its requirements vetted as those of a hook.

    :raises UntrustedResultError: one of them has none of the forms that the policy allows
    """
    schemes = WEB | FILE if allow_url_requirements else ()
    return Output(answer.question.hook, returned=vet_requirements(answer.requirements, schemes=schemes))


def parsed(data: bytes) -> tuple[Sdist | None, Sequence[Answer]]:
    """Return what a file holds.

    :raises UntrustedResultError: it is no such file, or one of a later schema
    """
    document = parse_object(data, _LABEL)
    schema = document.get("schema")
    if not isinstance(schema, str) or schema.partition(".")[0] != SCHEMA.partition(".")[0]:
        raise UntrustedResultError(f"{_LABEL} must have the schema {SCHEMA}", _shown(schema))
    rows = document.get("answers")
    if not isinstance(rows, list):
        raise UntrustedResultError(f"{_LABEL} must have a list of answers")
    answers = [_answer(row, f"answer {number}") for number, row in enumerate(rows, 1)]
    if len({answer.question for answer in answers}) != len(answers):
        raise UntrustedResultError(f"{_LABEL} must not answer one question twice")
    return _sdist(document.get("sdist")), answers


def _sdist(value: object) -> Sdist | None:
    if value is None:
        return None
    table = _object(value, "sdist")
    return Sdist(_text(table, "name", "sdist"), _matched(table, "sha256", "sdist", _SHA256))


def _answer(value: object, where: str) -> Answer:
    row = _object(value, where)
    hook = row.get("hook")
    if not isinstance(hook, str) or hook not in HOOKS:
        raise UntrustedResultError(f"the hook of {where} must be one of {', '.join(sorted(HOOKS))}", _shown(hook))
    tree, interpreter = (_object(row.get(key), f"{key} of {where}") for key in ("tree", "interpreter"))
    names, settings = _settings(row.get("settings"), where)
    return Answer(
        question=Question(
            hook=hook,
            tree=_matched(tree, "dirHash", where, _SHA256),
            implementation=_matched(interpreter, "implementation", where, _WORD),
            python=_matched(interpreter, "version", where, _WORD),
            platform=_matched(interpreter, "platform", where, _WORD),
            settings=settings,
        ),
        name=_text(tree, "name", where),
        settings=names,
        requirements=_texts(row.get("requirements"), f"requirements of {where}"),
    )


def _settings(value: object, where: str) -> tuple[tuple[str, ...], str]:
    if value is None:
        return (), ""
    table = _object(value, f"settings of {where}")
    return _texts(table.get("names"), f"names of settings of {where}"), _matched(table, "sha256", where, _SHA256)


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UntrustedResultError(f"{where} must be an object", _shown(value))
    return value


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value or len(value) > _MAX_NAME or not is_visible(value):
        raise UntrustedResultError(f"{key} of {where} must be a name", _shown(value))
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UntrustedResultError(f"{where} must be a list of strings", _shown(value))
    return tuple(value)


def _matched(table: Mapping[str, Any], key: str, where: str, pattern: re.Pattern[str]) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise UntrustedResultError(f"{key} of {where} must be as --record-answers writes it", _shown(value))
    return value


def _shown(value: object) -> str:
    return value[:200] if isinstance(value, str) else type(value).__name__
