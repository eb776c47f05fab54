"""What a report says of the tree: nothing, where nobody could look, and never a change that was none."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import pytest
from support.fakes import make_plan

from isolated_hooks import Policy
from isolated_hooks.files.changes import TreeChanges
from isolated_hooks.plan import Discarded, Plan
from isolated_hooks.results.details import Usage
from isolated_hooks.run.observed import Observed


@pytest.fixture
def plan(tmp_path: pathlib.Path) -> Plan:
    """A plan for a source tree that exists."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("text")
    return dataclasses.replace(make_plan(), source=str(tmp_path / "tree"))


def test_what_changed_and_what_the_child_told(plan: Plan) -> None:
    observed = Observed(plan)
    pathlib.Path(plan.source, "new").touch()
    details = observed.details({"home": [b".cache", b"\xff\n"], "usage": (1.0, 2.0, 3), "limit": "memory"})
    assert details.tree is not None
    assert (details.tree.new, details.tree.changed) == (("new",), ())
    assert details.home is not None and details.home[0] == ".cache" and "\n" not in details.home[1]
    assert (details.limits, details.usage) == (("memory",), Usage(1.0, 2.0, 3))
    nothing = observed.details({})
    assert (nothing.home, nothing.limits, nothing.usage) == (None, (), None)


def test_a_read_only_tree_has_no_changes(plan: Plan) -> None:
    """The frontend's own, meanwhile, are none of the hook."""
    observed = Observed(dataclasses.replace(plan, policy=Policy(source="read-only")))
    pathlib.Path(plan.source, "new").touch()
    assert observed.details({}).tree == TreeChanges()


@pytest.mark.parametrize("when", ["before", "after"])
def test_of_a_tree_that_cannot_be_listed_nothing_is_said(when: str, plan: Plan) -> None:
    tree = pathlib.Path(plan.source)
    if when == "before":
        tree.rename(tree.parent / "moved")
    observed = Observed(plan)
    if when == "before":
        (tree.parent / "moved").rename(tree)
    else:
        tree.rename(tree.parent / "moved")
    assert observed.details({}).tree is None


def test_the_changes_in_an_overlay_are_those_to_the_tree_beneath(plan: Plan, tmp_path: pathlib.Path) -> None:
    (tmp_path / "view/upper").mkdir(parents=True)
    plan = dataclasses.replace(plan, discarded=Discarded(str(tmp_path / "view"), overlay=True))
    observed = Observed(plan)
    (tmp_path / "view/upper/file").write_text("changed")
    (tmp_path / "view/upper/new").touch()
    tree = observed.details({}).tree
    assert tree is not None
    assert (tree.new, tree.changed) == (("new",), ("file",))
    os.rename(plan.source, tmp_path / "gone")
    assert observed.details({}).tree is None
