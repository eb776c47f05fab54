"""The table of attacks in the documentation equals the results of a run on this host, for every kind of user."""

from __future__ import annotations

import pytest
from support.attacks import page
from support.attacks.column import COLUMNS, Entry, column
from support.attacks.rows import ROWS
from support.testnames import exists

from isolated_hooks.selftest.attacks.table import ATTACKS, Attack
from isolated_hooks.selftest.findings import Result
from isolated_hooks.selftest.promises import KINDS

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in COLUMNS])
def name(request: pytest.FixtureRequest) -> str:
    """Each column that there can be here."""
    if why := COLUMNS[request.param].unavailable():
        pytest.skip(why)
    return str(request.param)


@pytest.fixture(scope="module")
def entries(name: str) -> dict[str, Entry]:
    """What a run of the column came to."""
    return column(name)


def test_an_attack_comes_to_what_the_report_says(name: str, entries: dict[str, Entry]) -> None:
    """It is shown to work without the sandbox, and works within only where the report says so of what would stop it."""
    assert [w for attack in ATTACKS if (w := _wrong(attack, entries[attack.name], COLUMNS[name].namespaces))] == []


def _wrong(attack: Attack, entry: Entry, namespaces: bool) -> str:
    """Say what is wrong with what an attack came to, or return an empty text."""
    if entry.result is Result.UNTRIED:
        return "" if attack.root else f"{attack.name} was not tried, and not only root can do it"
    if entry.result is Result.BROKEN:
        return f"{attack.name}, {attack.tries}: {entry.evidence['within']}"
    if entry.result is Result.UNSHOWN and not attack.unless:
        return f"{attack.name} does not work without the sandbox either: {entry.evidence['without']}"
    if namespaces and entry.result is Result.OPEN:
        return f"{attack.name} is open, and with namespaces every protection is active"
    return ""


def test_the_page_says_so(name: str, entries: dict[str, Entry]) -> None:
    """What is committed is the outcome. What a kernel or a host lacks may be shown on another one only."""
    if not COLUMNS[name].namespaces and page.made_with()[1] != page.landlock_abi():
        pytest.skip("the page was made with another Landlock, which decides what holds without namespaces")
    page_says, came_to = {}, {}
    for attack in ATTACKS:
        words = page.committed()[attack.name][name], entries[attack.name].word
        if not (attack.unless and Result.UNSHOWN.value in words):
            page_says[attack.name], came_to[attack.name] = words
    assert came_to == page_says


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


def test_every_test_that_is_named_exists() -> None:
    assert [test for row in ROWS.values() for test in row.tests if not exists(test)] == []


def test_a_missing_test_is_detected() -> None:
    assert not exists("tests/attacks/suite/test_hostile_backend.py::test_nothing")
    assert not exists("tests/attacks/test_nothing.py::test_attack")
