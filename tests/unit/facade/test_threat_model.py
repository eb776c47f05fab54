"""Every promise of the threat model is linked to tests and attacks that exist."""

from __future__ import annotations

import re

import pytest
from support.repository import ROOT
from support.testnames import exists

from isolated_hooks.protections import ROWS, Promise, Protection
from isolated_hooks.selftest.attacks.table import ATTACKS

TEXT = (ROOT / "docs/threat-model.rst").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"``(tests/\S+::\S+)``", TEXT)))
NAMED = sorted(set(re.findall(r"``([A-Z]\d\d-[a-z0-9-]+)``", TEXT)))


def promises() -> dict[str, str]:
    """Return the text below each promise, by the promise's sentence."""
    section = TEXT.split("\nPromises\n", 1)[1].split("\nOut of scope\n", 1)[0]
    parts = re.split(r"^\*\*(.+?)\*\*", section, flags=re.MULTILINE | re.DOTALL)[1:]
    return {" ".join(name.split()): text for name, text in zip(parts[::2], parts[1::2], strict=True)}


def test_every_promise_is_on_the_page_and_kept_by_a_protection() -> None:
    assert {promise.value for promise in Promise} <= promises().keys()
    assert {promise for row in ROWS.values() for promise in row.promises} == set(Promise)


@pytest.mark.parametrize("protection", Protection, ids=lambda protection: protection.value)
def test_every_protection_stops_an_attack_on_a_promise_of_its_own(protection: Protection) -> None:
    # An attack is one call of a hook; what comes after it has the tests that the page names.
    attacked = {attack.promise for attack in ATTACKS if protection in attack.stopped_by}
    assert attacked & {*ROWS[protection].promises} or protection is Protection.RESULTS


def test_every_promise_links_to_tests() -> None:
    links = re.compile(r"^- ``tests/\S+::test_\w+``$", flags=re.MULTILINE)
    assert [promise for promise, text in promises().items() if not links.findall(text)] == []


def test_every_linked_test_exists() -> None:
    assert [test for test in TESTS if not exists(test)] == []


def test_every_named_attack_exists_and_tests_its_promise() -> None:
    attacks = {attack.name: attack for attack in ATTACKS}
    assert [name for name in NAMED if name not in attacks] == []
    wrong = []
    for name in NAMED:
        concerned = [promise for promise, text in promises().items() if f"``{name}``" in text]
        kept = {promise.value for protection in attacks[name].stopped_by for promise in ROWS[protection].promises}
        if attacks[name].promise.value not in concerned and not kept.issuperset(concerned):
            wrong.append(f"{name} tests {attacks[name].promise.value!r}, and the page has it at {concerned}")
    assert wrong == []


def test_a_missing_test_is_detected() -> None:
    assert len(TESTS) > 30
    assert not exists("tests/unit/facade/test_text.py::test_nothing")
    assert not exists("tests/unit/test_nothing.py::test_nothing")
