"""The table of attacks in the documentation equals the results of a run on this host, for every kind of user."""

from __future__ import annotations

import ast

import pytest
from support.attacks import page
from support.attacks.column import COLUMNS, Entry, column
from support.attacks.rows import ROWS
from support.repository import ROOT

from isolated_hooks.selftest.attacks.table import ATTACKS, Attack
from isolated_hooks.selftest.findings import Result
from isolated_hooks.selftest.promises import KINDS

pytestmark = pytest.mark.usefixtures("sandbox")

_EACH = [pytest.param(name, attack, id=f"{name}-{attack.name}") for name in COLUMNS for attack in ATTACKS]


def _entry(name: str, attack: Attack) -> Entry:
    if why := COLUMNS[name].unavailable():
        pytest.skip(why)
    return column(name)[attack.name]


@pytest.mark.parametrize(("name", "attack"), _EACH)
def test_an_attack_comes_to_what_the_report_says(name: str, attack: Attack) -> None:
    """It works without the sandbox; it works in the sandbox only if a protection that would stop it is not active."""
    entry = _entry(name, attack)
    if entry.result is Result.UNTRIED:
        assert attack.root
        pytest.skip("only root can try it")
    assert entry.result is not Result.BROKEN, f"{attack.tries}: {entry.evidence['within']}"
    if entry.result is Result.UNSHOWN:
        assert attack.unless, f"it fails even without the sandbox: {entry.evidence['without']}"
        pytest.skip(f"it shows nothing on this host: {attack.unless}")
    if COLUMNS[name].namespaces:
        assert entry.result is Result.HELD, "with namespaces every protection is active"


@pytest.mark.parametrize(("name", "attack"), _EACH)
def test_the_page_has_this_result(name: str, attack: Attack) -> None:
    """The committed page has the result of this run, unless a host lacks something that the attack needs."""
    word, entry = page.committed()[attack.name][name], _entry(name, attack)
    if not COLUMNS[name].namespaces and page.made_with()[1] != page.landlock_abi():
        pytest.skip("the page was made with another Landlock ABI, which decides the results without namespaces")
    if attack.unless and Result.UNSHOWN.value in (word, entry.word):
        return
    assert word == entry.word


def test_the_rest_of_the_page_is_what_the_command_makes_of_it() -> None:
    """Names, numbers, kinds, tests and reasons. The results, which need a run, come from the page itself."""
    committed = page.committed()
    assert list(committed) == [attack.name for attack in ATTACKS], f"run: {page.COMMAND}"
    generated = page.page(committed, *page.made_with())
    assert generated == page.PAGE.read_text(encoding="utf-8"), f"run: {page.COMMAND}"


def test_names_are_unique_and_every_kind_is_covered_once() -> None:
    """Attacks cover a kind, or the other tables do, with tests or with a reason why it is out of scope."""
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)
    covered = {attack.kind for attack in ATTACKS}
    assert covered <= KINDS.keys()
    assert KINDS.keys() - covered <= ROWS.keys()
    assert covered & ROWS.keys() == set()
    assert all(bool(row.tests) != bool(row.scope) for row in ROWS.values())


def test_every_attack_is_described() -> None:
    for attack in ATTACKS:
        assert attack.tries and attack.origin and attack.stopped_by, attack.name


@pytest.mark.parametrize("test", sorted({test for row in ROWS.values() for test in row.tests}))
def test_every_test_in_the_table_exists(test: str) -> None:
    assert exists(test)


def test_a_missing_test_is_detected() -> None:
    assert not exists("tests/attacks/suite/test_hostile_backend.py::test_nothing")
    assert not exists("tests/attacks/test_nothing.py::test_attack")


def exists(test: str) -> bool:
    """Return whether a test exists, by its pytest id."""
    path, _, name = test.partition("::")
    file = ROOT / path
    return file.exists() and name in {
        node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)
    }
