"""The report and the table of a wheelhouse."""

from __future__ import annotations

import json
from pathlib import Path

from packaging.version import Version

from isolated_hooks import BuildRequest, BuildResult, BuiltFile, Outcome, Policy
from isolated_hooks.many.reporting import document, log_end, table, totals
from isolated_hooks.many.requests import Task, check_requests


def task(name: str) -> Task:
    request = BuildRequest(f"/in/{name}-1.0.tar.gz", "/out")
    return Task(request, str(request.source), False, "/out", (name, Version("1.0")), Policy())


TASKS = [task("one"), task("second")]
RESULTS = [
    BuildResult(TASKS[0].request, Outcome.BUILT, BuiltFile("/out/one-1.0-py3-none-any.whl", 7, "ab"), seconds=61.25),
    BuildResult(TASKS[1].request, Outcome.LIMIT, error="too\x1b[31m long\nmore", kind="HookTimeoutError"),
]


def test_the_table_has_a_row_for_each_package_and_no_control_character() -> None:
    assert [*table(TASKS, RESULTS)] == [
        "package     result  seconds  wheel, or why there is none",
        "one 1.0     built      61.2  one-1.0-py3-none-any.whl",
        "second 1.0  limit       0.0  too\\x1b[31m long",
    ]
    assert totals(RESULTS) == "1 built, 1 limit"


def test_the_report_has_each_package_with_its_result() -> None:
    report = json.loads(json.dumps(document(TASKS, RESULTS, version="7")))
    assert report["counts"] == {
        "built": 1, "stands": 0, "failed": 0, "limit": 1, "refused": 0, "no sandbox": 0, "stopped": 0,
    }  # fmt: skip
    first, second = report["packages"]
    assert first["wheel"] == {
        "name": "one-1.0-py3-none-any.whl",
        "path": "/out/one-1.0-py3-none-any.whl",
        "size": 7,
        "hashes": {"sha256": "ab"},
    }
    assert (second["wheel"], second["outcome"], second["error_class"]) == (None, "limit", "HookTimeoutError")


def test_the_end_of_a_log_is_escaped() -> None:
    log = "".join(f"line {number}\n" for number in range(100)) + "\n::set-env name=A\n\x1b]0;title\x07\nTIP pass\n"
    lines = [*log_end(BuildResult(TASKS[0].request, Outcome.FAILED, log=log))]
    assert lines[-2:] == [":\\x3aset-env name=A", "\\x1b]0;title\\x07"]
    assert len(lines) == 15


def test_the_label_of_a_tree_is_its_name_before_any_hook_or_that_of_the_directory(tmp_path: Path) -> None:
    tree = tmp_path / "tree\x07"
    tree.mkdir()
    (before,) = check_requests([BuildRequest(tree, tmp_path / "out")], None)
    (tree / "pyproject.toml").write_text("[project]\nname = 'Given.Name'\n")
    (after,) = check_requests([BuildRequest(tree, tmp_path / "out")], None)
    assert (before.label, after.label) == ("tree\\x07", "given-name")
    (tree / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert after.label == "given-name", "a hook could have renamed it"
