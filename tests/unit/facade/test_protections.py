"""The row of a protection is all that the rest knows of it, so it has to agree with the child and with itself."""

from __future__ import annotations

import ast
import pathlib

import isolated_hooks
from isolated_hooks.policy import DEFAULT_REQUIRE
from isolated_hooks.policy.checks import GROUPS
from isolated_hooks.protections import ROWS, Protection, ProtectionState

SANDBOX = pathlib.Path(isolated_hooks.__file__).parent / "sandbox"


def stages() -> set[str]:
    """Return the stages that the child reports: what it assigns to an attribute of that name."""
    nodes = (node for path in SANDBOX.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    assigned = [node for node in nodes if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    return {str(a.value.value) for a in assigned if getattr(a.targets[0], "attr", "") == "stage"}  # type: ignore[attr-defined]


def test_every_protection_has_its_row_and_reports_keep_their_order() -> None:
    assert list(ROWS) == list(Protection)
    assert all(row.active and row.promises for row in ROWS.values())


def test_a_protection_cannot_become_optional_unnoticed() -> None:
    names = "filesystem temporary environment network ipc privileges syscalls terminal descriptors results".split()
    assert {Protection(name) for name in names} <= DEFAULT_REQUIRE
    assert ROWS[Protection.PROCESSES].needed is ROWS[Protection.IDENTITY].needed is ProtectionState.DEGRADED


def test_every_stage_of_a_row_is_one_that_the_child_reports() -> None:
    named = {stage for row in ROWS.values() for stage in row.stages}
    assert named
    assert named <= stages()


def test_one_word_covers_all_that_is_weaker_without_namespaces() -> None:
    weaker = {p for p, row in ROWS.items() for held in (row.confined, row.separate) if held is not None and held.weaker}
    assert weaker <= GROUPS["no-namespaces"]
