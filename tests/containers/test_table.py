"""Tests of the table of hosts that run no container."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.containers import table
from support.containers.engines import crio_seccomp
from support.containers.environments import ENVIRONMENTS

from isolated_hooks import Protection

_TRIED = "Tried on Linux 9.9, with podman 1 and docker 2."


def _found(*, runs: bool = True, **states: str) -> dict[str, Any]:
    protections = {
        p.value: {"state": states.get(p.value, "active"), "reason": f"why {p.value}", "remedy": f"help {p.value}"}
        for p in Protection
    }
    return {"doctor": {"document": {"runs": runs, "protections": protections}}}


def _rendered() -> str:
    found = {environment.name: _found() for environment in ENVIRONMENTS}
    found["podman"] = _found(processes="degraded")
    found["docker"] = _found(runs=False, processes="degraded", ipc="unavailable")
    return table.render(found, _TRIED)


def test_only_protections_that_differ_have_a_column() -> None:
    lines = _rendered().splitlines()
    rows = {words[0]: words[1:] for words in map(str.split, lines) if words}
    assert rows["host"] == ["hooks", "run", "processes", "ipc"]
    assert rows["host-root"] == ["yes", "yes", "yes"]
    assert rows["podman"] == ["yes", "less", "yes"]
    assert rows["docker"] == ["if", "allowed", "less", "no"]
    assert any(line.startswith("Active on every one of these hosts: filesystem, temporary") for line in lines)


def test_each_reason_and_each_remedy_appears_once_with_all_its_hosts() -> None:
    lines = _rendered().splitlines()
    assert "- *processes* (podman, docker): why processes" in lines
    assert "- *ipc* (docker): why ipc" in lines
    assert "- for *processes* (podman, docker): help processes" in lines


def test_a_new_table_replaces_the_old_one(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "hosts.rst"
    page.write_text(table.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(table, "PAGE", page)
    before, _, after = page.read_text(encoding="utf-8").partition(table.committed())
    table.write(_rendered())
    assert table.committed() == _rendered()
    assert page.read_text(encoding="utf-8") == f"{before}{_rendered()}{after}"


def test_the_comparison_ignores_the_versions() -> None:
    text = _rendered()
    assert table.stable(text) == table.stable(text.replace(_TRIED, "Tried on Linux 8.8, with podman 3 and docker 4."))
    assert table.stable(text) != table.stable(text.replace("less", "yes"))


@pytest.mark.parametrize("name", [environment.name for environment in ENVIRONMENTS])
def test_the_page_has_a_row_for_every_environment(name: str) -> None:
    rows = [line for line in table.committed().splitlines() if line.startswith(f"{name} ")]
    assert len(rows) == 1
    assert set(rows[0].split()[1:]) <= {"yes", "less", "no", "if", "allowed"}


def test_the_rules_of_crio_allow_no_new_namespace() -> None:
    allow = "SCMP_ACT_ALLOW"
    rule = {
        "names": ["read", "unshare", "clone", "clone3"],
        "action": allow,
        "args": [],
        "includes": {},
        "excludes": {},
    }
    rules = json.loads(crio_seccomp(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]})))["syscalls"]
    allowed = [rule for rule in rules if rule["action"] == allow and not rule["includes"]]
    assert not any({"unshare", "clone3"} & set(rule["names"]) for rule in allowed)
    # The rules allow clone(2) only without any of the flags CLONE_NEW*, linux/sched.h.
    assert [rule["args"] for rule in allowed if "clone" in rule["names"]] == [
        [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    ]
