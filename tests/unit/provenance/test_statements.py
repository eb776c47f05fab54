"""The statements themselves: their form, and names that try to leave their place in it."""

from __future__ import annotations

import json
from typing import Any

from support.jsonschema import problems
from support.repository import ROOT
from support.statements import CALLS, SUBJECT, a_build, bundle

from isolated_hooks.observe.hints import Hint
from isolated_hooks.plan.holds import unprotected
from isolated_hooks.provenance.statements import Call, Material, Subject, encoded, enforcement, provenance
from isolated_hooks.provenance.terms import ENFORCEMENT, PROVENANCE, STATEMENT
from isolated_hooks.report import Connection, HookReport
from isolated_hooks.results.artefacts import Artefact
from isolated_hooks.results.strictjson import parse_object

SCHEMA = json.loads((ROOT / "docs/enforcement.schema.json").read_text(encoding="utf-8"))
INJECTION = 'x","digest":{"sha256":"0"}},{"name":"y\n{"_type":"forged"}\u2028\x1b[2J\u202e\udcff'


def test_each_line_is_a_statement_of_the_artefact() -> None:
    lines = bundle().splitlines()
    kinds = []
    for line in lines:
        statement = parse_object(line)
        assert statement["_type"] == STATEMENT
        assert statement["subject"] == [{"name": SUBJECT.name, "digest": {"sha256": SUBJECT.sha256}}]
        kinds.append(statement["predicateType"])
    assert kinds == [PROVENANCE, ENFORCEMENT]
    assert bundle().isascii()
    assert bundle().endswith(b"\n")


def test_the_provenance_has_what_slsa_requires() -> None:
    predicate: dict[str, Any] = parse_object(bundle().splitlines()[0])["predicate"]
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    assert definition["buildType"].startswith("urn:")
    assert definition["externalParameters"]["source"] == "project"
    assert details["builder"]["id"].startswith("urn:")
    assert details["builder"]["version"]["isolated-hooks"]
    assert {*details["metadata"]} == {"invocationId", "startedOn", "finishedOn"}
    assert definition["internalParameters"]["variablesWithheld"] == ["A_TOKEN"]
    (material,) = definition["resolvedDependencies"]
    assert material == {"name": "a.whl", "digest": {"sha256": "a" * 64}, "annotations": {"role": "build requirement"}}


def test_what_was_enforced_fits_its_schema() -> None:
    predicate = parse_object(bundle().splitlines()[1])["predicate"]
    assert problems(predicate, SCHEMA) == []
    for key in predicate:
        assert problems({name: value for name, value in predicate.items() if name != key}, SCHEMA) != []
    assert problems({**predicate, "observed": "no"}, SCHEMA) != []


def test_no_name_leaves_its_place() -> None:
    report = HookReport(
        INJECTION,
        f"/srv/{INJECTION}",
        unprotected(),
        dropped=(INJECTION,),
        artefacts=(Artefact(INJECTION, 1, "0" * 64),),
        error=INJECTION,
        launcher=INJECTION,
        set_aside=(INJECTION,),
        connections=(Connection(INJECTION, 1, 1, problem=INJECTION),),
        denied=(Hint(INJECTION, INJECTION, INJECTION, INJECTION, INJECTION, INJECTION, INJECTION, 1),),
    )
    build = a_build()
    calls = [Call(report)]
    material = Material(name=INJECTION, digest="0" * 64, role="sdist")
    subject = Subject(INJECTION, "1" * 64)
    lines = encoded([provenance(build, subject, [material], calls), enforcement(build, subject, calls)]).splitlines()
    assert len(lines) == 2
    for line in lines:
        statement = parse_object(line)
        assert [entry["digest"]["sha256"] for entry in statement["subject"]] == ["1" * 64]
        if statement["predicateType"] == ENFORCEMENT:
            assert problems(statement["predicate"], SCHEMA) == []
        text = json.dumps(statement, ensure_ascii=False)
        assert not {"\x1b", "\u202e", "\u2028", "\udcff", "\n"} & {*text}
    assert b"/srv/" not in b"".join(lines)


def test_a_flood_of_names_is_bounded() -> None:
    report = HookReport(
        "build_wheel",
        "/srv",
        unprotected(),
        dropped=tuple(f"N{number}" for number in range(5000)),
        connections=tuple(Connection("h", 1, 1) for _ in range(5000)),
        denied=tuple(Hint("s", what="w" * 200) for _ in range(5000)),
    )
    data = encoded(
        [provenance(a_build(), SUBJECT, [], [Call(report)]), enforcement(a_build(), SUBJECT, [Call(report)])]
    )
    assert len(data) < 200_000


def test_calls_say_whose_hooks_they_are_and_what_was_degraded() -> None:
    statement = enforcement(a_build(), SUBJECT, [*CALLS, Call(HookReport("build_wheel", "/x", unprotected()), True)])
    hooks = statement["predicate"]["hooks"]
    assert [hook["of"] for hook in hooks] == ["project", "project", "requirement"]
    assert "filesystem" in statement["predicate"]["degraded"]
