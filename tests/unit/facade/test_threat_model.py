"""Every promise of the threat model is linked to tests and attacks that exist."""

from __future__ import annotations

import ast
import re

import pytest
from support.repository import ROOT

from isolated_hooks.selftest.attacks.table import ATTACKS
from isolated_hooks.selftest.promises import Promise

TEXT = (ROOT / "docs/threat-model.rst").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"``(tests/\S+::\S+)``", TEXT)))
NAMED = sorted(set(re.findall(r"``([A-Z]\d\d-[a-z0-9-]+)``", TEXT)))


def exists(test: str) -> bool:
    """Return whether a test exists, by its pytest id."""
    path, _, name = test.partition("::")
    if not (ROOT / path).is_file():
        return False
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def promises() -> dict[str, str]:
    """Return the text below each promise, by the promise's sentence."""
    section = TEXT.split("\nPromises\n", 1)[1].split("\nOut of scope\n", 1)[0]
    parts = re.split(r"^\*\*(.+?)\*\*", section, flags=re.MULTILINE | re.DOTALL)[1:]
    return {" ".join(name.split()): text for name, text in zip(parts[::2], parts[1::2], strict=True)}


def test_every_promise_of_the_attacks_is_on_the_page() -> None:
    assert {promise.value for promise in Promise} <= promises().keys()


@pytest.mark.parametrize("promise", promises())
def test_every_promise_links_to_tests(promise: str) -> None:
    assert re.findall(r"^- ``tests/\S+::test_\w+``$", promises()[promise], flags=re.MULTILINE)


@pytest.mark.parametrize("test", TESTS)
def test_every_linked_test_exists(test: str) -> None:
    assert exists(test)


@pytest.mark.parametrize("name", NAMED)
def test_every_named_attack_exists_and_tests_its_promise(name: str) -> None:
    attack = next(attack for attack in ATTACKS if attack.name == name)
    naming = [promise for promise, text in promises().items() if f"``{name}``" in text]
    assert attack.promise.value in naming or naming == [Promise.IDENTITY.value]


def test_a_missing_test_is_detected() -> None:
    assert len(TESTS) > 30
    assert not exists("tests/unit/facade/test_text.py::test_nothing")
    assert not exists("tests/unit/test_nothing.py::test_nothing")
