"""The check of statements that somebody else may have written."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.statements import SUBJECT, bundle, calls_with

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.policy import Policy
from isolated_hooks.protections import ProtectionState
from isolated_hooks.provenance.policies import stated_policy
from isolated_hooks.provenance.spelling import Spelling
from isolated_hooks.provenance.statements import Subject
from isolated_hooks.provenance.terms import MAX_STATEMENTS
from isolated_hooks.provenance.verification import Verdict, Wanted, parsed_statements, verified

DEGRADED, DISABLED = ProtectionState.DEGRADED, ProtectionState.DISABLED


def verdict(
    data: bytes, policy: Policy | None = None, *, given: Policy | None = None, subject: Subject = SUBJECT
) -> Verdict:
    stated = None if given is None else stated_policy(given, Spelling())
    return verified(parsed_statements(data, "x.intoto.jsonl"), Wanted(subject, policy or given or Policy(), stated))


def changed(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> bytes:
    """Return the statements after a change of both documents."""
    documents = [json.loads(line) for line in bundle().splitlines()]
    change(*documents)
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def test_what_a_build_states_is_verified() -> None:
    assert verdict(bundle()).problems == ()
    assert verdict(bundle(), given=Policy()).problems == ()
    lines = bundle().splitlines()
    assert verdict(lines[1] + b"\n" + lines[0]).problems == ()  # a bundle has no order, and need not end with a newline


def test_another_file_is_not_verified() -> None:
    (first, second) = verdict(bundle(), subject=Subject(SUBJECT.name, "6" * 64)).problems[:2]
    assert "is not its subject" in first
    assert "5" * 64 in first
    assert "line 2" in second
    renamed = verdict(bundle(), subject=Subject("other-1.0-py3-none-any.whl", SUBJECT.sha256)).problems
    assert "another name" in renamed[0]


@pytest.mark.parametrize(("protection", "state"), [("network", DISABLED), ("identity", DISABLED), ("ipc", DEGRADED)])
def test_a_protection_that_is_missing_is_named(protection: str, state: ProtectionState) -> None:
    data = bundle(calls=calls_with(**{protection: state}))
    (problem,) = verdict(data).problems
    assert f"hook 2, build_wheel: the protection {protection} was {state.value}" in problem
    assert f"--allow-degraded {protection}" in problem
    assert verdict(data, Policy(allow_degraded=[protection])).problems == ()


def test_the_policy_says_which_protections_have_to_be_active() -> None:
    data = bundle(calls=calls_with(identity=DEGRADED))
    found = verdict(data)
    assert found.problems == ()
    assert any("identity" in fact for fact in found.facts)
    assert len(verdict(data, Policy(require=["identity"])).problems) == 1


def test_a_wider_policy_is_named_only_if_one_is_given() -> None:
    data = bundle(Policy(expose=["/srv/tools"]))
    assert verdict(data).problems == ()
    (problem,) = verdict(data, given=Policy()).problems
    assert "the stated policy: expose allows more" in problem
    assert "/srv/tools" in problem
    assert verdict(data, given=Policy(expose=["/srv"])).problems == ()


CHANGES: dict[str, tuple[Callable[[Any, Any], object], str]] = {
    "type": (lambda p, e: p.update(_type="https://in-toto.io/Statement/v0.1"), "no in-toto Statement v1"),
    "no type": (lambda p, e: p.pop("_type"), "no in-toto Statement v1"),
    "no subject": (lambda p, e: e.update(subject=[]), "no subject"),
    "subject of another type": (lambda p, e: e.update(subject={}), "subject is no list"),
    "subject without digest": (lambda p, e: e.update(subject=[{"name": SUBJECT.name}]), "digest is no object"),
    "weaker digest": (lambda p, e: e.update(subject=[{"digest": {"md5": "0"}}]), "sha256 is no text"),
    "no predicate": (lambda p, e: p.pop("predicate"), "predicate is no object"),
    "no kind": (lambda p, e: p.pop("predicateType"), "predicateType is no text"),
    "envelope": (lambda p, e: (p.clear(), p.update(payload="", payloadType="", signatures=[])), "envelope"),
    "other kind": (lambda p, e: p.update(predicateType="https://example.org/other"), "no statement says how it was"),
    "no enforcement": (lambda p, e: e.update(p), "no statement says what was enforced"),
    "builder": (
        lambda p, e: p["predicate"]["runDetails"]["builder"].update(id="https://example.org/x"),
        "another builder",
    ),
    "build type": (lambda p, e: p["predicate"]["buildDefinition"].update(buildType="x"), "another builder"),
    "no details": (lambda p, e: p["predicate"].pop("runDetails"), "runDetails is no object"),
    "materials": (lambda p, e: p["predicate"]["buildDefinition"].update(resolvedDependencies=[{}]), "digest"),
    "monitor": (lambda p, e: e["predicate"]["monitor"].update(id="x"), "another monitor"),
    "no hooks": (lambda p, e: e["predicate"].update(hooks=[]), "no hook that succeeded"),
    "hooks of another type": (lambda p, e: e["predicate"].update(hooks=["build_wheel"]), "a hook is no object"),
    "protection left out": (
        lambda p, e: e["predicate"]["hooks"][0]["protections"].pop("syscalls"),
        "nothing is stated about the protection syscalls",
    ),
    "state": (
        lambda p, e: e["predicate"]["hooks"][0]["protections"]["ipc"].update(state="fine"),
        "unknown state",
    ),
    "unknown protection": (
        lambda p, e: e["predicate"]["hooks"][0]["protections"].update(other=5),
        "the protection 'other' is unknown",
    ),
    "no name of a hook": (lambda p, e: e["predicate"]["hooks"][0].pop("hook"), "hook is no text"),
    "failed": (lambda p, e: e["predicate"]["hooks"][1].update(failed=True), "no hook that succeeded"),
    "of a requirement": (lambda p, e: e["predicate"]["hooks"][1].update(of="requirement"), "no hook that succeeded"),
    "other artefact": (
        lambda p, e: e["predicate"]["hooks"][1]["artifacts"][0]["digest"].update(sha256="0" * 64),
        "no hook that succeeded",
    ),
    "policy": (lambda p, e: e["predicate"]["policy"].update(source="discard"), "their policies differ"),
    "no policy": (lambda p, e: e["predicate"].pop("policy"), "does not have the keys"),
    "unknown key": (lambda p, e: e["predicate"]["policy"].update(other=1), "'other' is unknown or missing"),
    "invocation": (lambda p, e: e["predicate"]["metadata"].update(invocationId="urn:uuid:1"), "different builds"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_statement_is_not_verified(name: str) -> None:
    change, expected = CHANGES[name]
    try:
        problems = verdict(changed(change)).problems
    except UntrustedResultError as error:
        problems = (str(error),)
    assert any(expected in problem for problem in problems), problems
    assert all("Traceback" not in problem for problem in problems)


def test_what_others_state_is_left_out() -> None:
    other = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": "0"}}]}
    line = json.dumps({**other, "predicateType": "https://example.org/x", "predicate": {}}).encode()
    found = verdict(bundle() + line)
    assert found.problems == ()
    assert any("left out" in fact for fact in found.facts)


def test_a_second_statement_of_the_same_kind_counts_too() -> None:
    weak = bundle(calls=calls_with(filesystem=DEGRADED)).splitlines()[1]
    assert "filesystem" in verdict(bundle() + weak).problems[0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "1 to 256 statements"),
        (b"\n\n", "1 to 256 statements"),
        (b"{}\n" * 300, "1 to 256 statements"),
        (b"not JSON", "must be JSON"),
        (b"[]", "must hold an object"),
        (b'{"_type": NaN}', "must be an integer"),
        (b'{"_type": 1.5}', "must be an integer"),
        (b'{"_type": 1, "_type": 2}', "same key twice"),
        (b"[" * 100, "nested deeper"),
        (b"\xff", "must be UTF-8"),
        (b" " * (MAX_STATEMENTS + 1), "larger than"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_statement_is_refused_with_its_place(data: bytes, expected: str) -> None:
    with pytest.raises(UntrustedResultError, match=expected) as caught:
        parsed_statements(data, "x.intoto.jsonl")
    assert "x.intoto.jsonl" in str(caught.value)


@pytest.mark.parametrize("size", [1, 100, 2000, len(bundle()) - 2])
def test_a_statement_that_is_cut_off_is_refused(size: int) -> None:
    try:
        assert verdict(bundle()[:size]).problems != ()
    except UntrustedResultError as error:
        assert "JSON" in error.rule


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


_DOCUMENTS = [json.loads(line) for line in bundle().splitlines()]
_PLACES = [place for place in _places(_DOCUMENTS) if len(place) > 1]


@given(st.sampled_from(_PLACES), _VALUES)
def test_no_value_in_any_place_breaks_the_check(place: tuple[Any, ...], value: Any) -> None:
    documents = copy.deepcopy(_DOCUMENTS)
    holder: Any = documents
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    data = b"".join(json.dumps(document).encode() + b"\n" for document in documents)
    try:
        found = verdict(data, given=Policy())
    except UntrustedResultError:
        return
    assert all(problem for problem in found.problems)
