"""The table of benchmarks: the losses that it reports, and the rows of the committed one. Nothing is measured here."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from xml.etree import ElementTree

import pytest
from support.repository import TESTS


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TESTS.parent / "benchmarks"))
    import table

    monkeypatch.delitem(sys.modules, "table")
    return table


def entry(name: str, value: float | None, unit: str = "x") -> dict[str, object]:
    return {"name": name, "value": value, "processor": value, "unit": unit}


def test_a_row_has_lost_if_it_is_worse_by_more_than_a_quarter(table: ModuleType) -> None:
    committed = {"rows": [entry("a", 1.0), entry("b", 4.0), entry("c", None), entry("d", 1.0)]}
    entries = [entry("a", 1.26), entry("b", 5.0), entry("c", 9.0), entry("d", None), entry("new", 9.0)]
    assert table.losses(entries, committed) == [("a", 1.0, 1.26)]


def test_a_difference_may_be_about_nothing(table: ModuleType) -> None:
    committed = {"rows": [entry("a", -1.0, "ms"), entry("b", 40.0, "ms"), entry("c", 0.1, "ms")]}
    entries = [entry("a", 1.9, "ms"), entry("b", 50.1, "ms"), entry("c", 3.2, "ms")]
    assert [name for name, *_ in table.losses(entries, committed)] == ["b", "c"]


def test_another_kind_of_machine_is_not_compared(
    table: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table, "machine", lambda: {"processor": "another"})
    assert table.check([entry(row.name, 1e9) for row in table.ROWS], busy=False) == 0
    assert "another kind of machine" in capsys.readouterr().out


def test_a_loss_that_shows_twice_fails(table: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = json.loads(table.TABLE.read_text())
    monkeypatch.setattr(table, "machine", lambda: committed["machine"])
    name = next(row["name"] for row in committed["rows"] if row["processor"])
    again = {"value": 1e9}
    monkeypatch.setattr(table, "measured", lambda row, busy: entry(row.name, again["value"]))
    assert table.check([entry(name, 1e9)], busy=True) == 1
    again["value"] = 0.0
    assert table.check([entry(name, 1e9)], busy=True) == 0


def test_the_committed_table_has_every_row(table: ModuleType) -> None:
    committed = json.loads(table.TABLE.read_text())
    assert [row["name"] for row in committed["rows"]] == [row.name for row in table.ROWS]
    assert [row["goal"] for row in committed["rows"]] == [row.goal for row in table.ROWS]


def test_the_page_on_cost_is_what_the_command_makes_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS.parent / "benchmarks"))
    import chart

    monkeypatch.delitem(sys.modules, "chart")
    table = json.loads(chart.TABLE.read_text(encoding="utf-8"))
    assert chart.PAGE.read_text(encoding="utf-8") == chart.page_of(table), "run: python benchmarks/chart.py"
    assert chart.CHART.read_text(encoding="utf-8") == chart.chart_of(table), "run: python benchmarks/chart.py"
    readme = chart.README.read_text(encoding="utf-8")
    assert readme == chart.readme_of(readme, table), "run: python benchmarks/chart.py"
    (whole,) = (row["value"] for row in table["rows"] if row["name"] == "isolated-hooks build against python -m build")
    assert f"On {table['date']}, " in readme and f"took {whole:g} times" in " ".join(readme.split())
    shown = [element.text for element in ElementTree.fromstring(chart.CHART.read_text(encoding="utf-8")).iter()]
    for row in table["rows"]:
        assert (row["name"] in shown) == (row["value"] is not None)


def test_a_row_that_was_not_measured_has_its_reason_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS.parent / "benchmarks"))
    import chart

    monkeypatch.delitem(sys.modules, "chart")
    row = {"name": "a < b", "unit": "x", "goal": 1, "value": None, "reason": "no bwrap"}
    far = {"name": "c & d", "unit": "ms", "goal": 3, "value": -4.5}
    machine = {"processor": "one", "kernel": "6.1", "python": "3.11", "user": "root"}
    table = {"date": "2026-01-01", "machine": machine, "rows": [row, far]}
    assert "   * - a < b\n     - not measured: no bwrap\n     - x1\n" in chart.page_of(table)
    assert "     - -4.5 ms\n     - 3 ms\n" in chart.page_of(table)
    assert "c & d" in [element.text for element in ElementTree.fromstring(chart.chart_of(table)).iter()]
