"""The file with recorded answers: written for people, and read as somebody else's document."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from support.jsonschema import problems
from support.repository import ROOT

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.results.answered import Answer, Question, Sdist, encoded, output_of, parsed

SCHEMA = json.loads((ROOT / "docs/answers.schema.json").read_text(encoding="utf-8"))
QUESTION = Question(
    hook="get_requires_for_build_wheel",
    tree="a" * 64,
    implementation="cpython",
    python="3.11",
    platform="linux-x86_64",
)
ANSWER = Answer(question=QUESTION, name="example-1.0", requirements=("cython>=3", "packaging"))
WITH_SETTINGS = Answer(
    question=dataclasses.replace(QUESTION, settings="b" * 64), name="example-1.0", settings=("mode",)
)
SDIST = Sdist("example-1.0.tar.gz", "c" * 64)


def document(*answers: Answer, sdist: Sdist | None = None) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(encoded(answers or (ANSWER,), sdist=sdist))
    return result


def test_what_is_written_is_read_and_fits_the_schema() -> None:
    assert problems(document(ANSWER, WITH_SETTINGS, sdist=SDIST), SCHEMA) == []
    assert problems(document(), SCHEMA) == []
    assert parsed(encoded((WITH_SETTINGS, ANSWER), sdist=SDIST)) == (SDIST, [ANSWER, WITH_SETTINGS])


def test_the_order_of_calls_does_not_matter() -> None:
    assert encoded((ANSWER, WITH_SETTINGS)) == encoded((WITH_SETTINGS, ANSWER))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("schema"),
        lambda d: d.update(schema="2.0"),
        lambda d: d.update(schema=1),
        lambda d: d.update(answers={}),
        lambda d: d.pop("answers"),
        lambda d: d["answers"].append(d["answers"][0]),
        lambda d: d["answers"].append(None),
        lambda d: d.update(sdist={"name": "x"}),
        lambda d: d["answers"][0].update(hook="build_wheel"),
        lambda d: d["answers"][0].update(hook=["get_requires_for_build_wheel"]),
        lambda d: d["answers"][0].update(requirements="cython"),
        lambda d: d["answers"][0].update(requirements=[1]),
        lambda d: d["answers"][0].update(tree=None),
        lambda d: d["answers"][0]["tree"].update(dirHash="A" * 64),
        lambda d: d["answers"][0]["tree"].update(name="a\x1b[2J"),
        lambda d: d["answers"][0]["interpreter"].update(version=""),
        lambda d: d["answers"][0].update(settings={"names": [], "sha256": ""}),
    ],
)
def test_anything_else_is_refused(spoil: Callable[[dict[str, Any]], object]) -> None:
    spoilt = document()
    spoil(spoilt)
    with pytest.raises(UntrustedResultError) as caught:
        parsed(json.dumps(spoilt).encode())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(UntrustedResultError):
        parsed(data)


@pytest.mark.parametrize("requirement", ["-r /etc/passwd", "a @ https://index.example.org/a.whl", "a\n-i x", "${HOME}"])
def test_requirements_are_vetted_like_those_of_hooks(requirement: str) -> None:
    with pytest.raises(UntrustedResultError):
        output_of(dataclasses.replace(ANSWER, requirements=(requirement,)), allow_url_requirements=False)


def test_a_policy_may_allow_urls() -> None:
    answer = dataclasses.replace(ANSWER, requirements=("a @ https://index.example.org/a.whl",))
    assert output_of(answer, allow_url_requirements=True).returned == answer.requirements
