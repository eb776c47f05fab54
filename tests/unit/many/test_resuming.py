"""Records beside wheels: they name the inputs and the wheel, and nothing that others write there is believed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.each import each

from isolated_hooks import BuiltFile, Policy, UsedWheel
from isolated_hooks.many.resuming import Standing, digest_of, inputs_of, read_records, stands, write_record

NAME = "demo-1.0-py3-none-any.whl"
SDIST = "a" * 64
USED = UsedWheel("need", "1.0", "b" * 64)


@pytest.fixture
def wheel(tmp_path: Path) -> BuiltFile:
    """A wheel with its record."""
    path = tmp_path / NAME
    path.write_bytes(b"wheel")
    built = BuiltFile(os.fspath(path), 5, digest_of(os.fspath(path)))
    write_record(Standing(built, ("need>=1",), (USED,), 7), inputs_of(SDIST, Policy(), None))
    return built


def test_a_record_leads_from_the_inputs_to_the_wheel(tmp_path: Path, wheel: BuiltFile) -> None:
    assert sorted(os.listdir(tmp_path)) == [NAME, f"{NAME}.json"]
    assert read_records(os.fspath(tmp_path)) == {
        inputs_of(SDIST, Policy(), None): Standing(wheel, ("need>=1",), (USED,), 7)
    }
    assert stands(wheel)


def test_other_inputs_are_no_reason_to_keep_a_wheel(tmp_path: Path, wheel: BuiltFile) -> None:
    records = read_records(os.fspath(tmp_path))
    assert inputs_of(SDIST, Policy(), {}) in records
    for inputs in (
        inputs_of("b" * 64, Policy(), None),
        inputs_of(SDIST, Policy(network=True), None),
        inputs_of(SDIST, Policy(limits={"memory": 1 << 30}), None),
        inputs_of(SDIST, Policy(), {"a": "b"}),
    ):
        assert inputs not in records


def test_the_interpreter_is_one_of_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = inputs_of(SDIST, Policy(), None)
    monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    assert inputs_of(SDIST, Policy(), None) != before


def test_a_wheel_that_somebody_changed_does_not_stand(tmp_path: Path, wheel: BuiltFile) -> None:
    (tmp_path / NAME).write_bytes(b"whee!")
    assert not stands(wheel)
    (tmp_path / NAME).rename(tmp_path / "elsewhere")
    assert not stands(wheel)
    (tmp_path / "elsewhere").write_bytes(b"wheel")
    (tmp_path / NAME).symlink_to("elsewhere")
    assert not stands(wheel), "no link is followed"
    (tmp_path / NAME).unlink()
    os.mkfifo(tmp_path / NAME)
    assert not stands(wheel), "and nothing waits for a writer"


def test_a_record_that_says_something_else_is_passed_over(tmp_path: Path, wheel: BuiltFile) -> None:
    path = tmp_path / f"{NAME}.json"
    good: dict[str, Any] = json.loads(path.read_text())
    assert good["schema"] == "2.0"

    def check(text: str) -> None:
        path.write_text(text)
        assert read_records(os.fspath(tmp_path)) == {}

    wrong: list[Any] = [
        {**good, "schema": "1.0"},
        {**good, "wheel": {**good["wheel"], "name": "../../etc/passwd"}},
        {**good, "wheel": {**good["wheel"], "name": "other-1.0-py3-none-any.whl"}},
        {**good, "wheel": {**good["wheel"], "size": "many"}},
        {**good, "inputs": []},
        {"schema": "2.0"},
        {**good, "used": [{"name": "need"}]},
        {**good, "requirements": 7},
        [],
        None,
        7,
    ]
    each(["", "{", "[" * 50_000, "\0", " " * (65 << 10) + "{}", *map(json.dumps, wrong)], check)
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert read_records(os.fspath(tmp_path)) == {}
    path.unlink()
    os.mkfifo(path)
    assert read_records(os.fspath(tmp_path)) == {}


def test_a_directory_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    assert read_records(os.fspath(tmp_path / "none")) == {}


def test_a_record_with_the_name_of_no_wheel_is_passed_over(tmp_path: Path, wheel: BuiltFile) -> None:
    record = json.loads((tmp_path / f"{NAME}.json").read_text())
    record["wheel"]["name"] = "nothing.whl"
    (tmp_path / "nothing.whl.json").write_text(json.dumps(record))
    assert [*read_records(os.fspath(tmp_path)).values()] == [Standing(wheel, ("need>=1",), (USED,), 7)]
