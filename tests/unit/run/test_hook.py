"""The variables of a hook that runs in a copy of its source tree name the copy."""

from __future__ import annotations

import dataclasses
import json

import pytest
from support.fakes import make_plan

from isolated_hooks.plan import Discarded
from isolated_hooks.run.hook import _in_copy

NAMES = ["/home/u/code/proj", '/src/with "quotes"', "/src/back\\slash\\g<0>", "/src/a.b+", "/ä\udcff"]


@pytest.mark.parametrize("tree", NAMES)
@pytest.mark.parametrize("copy", ["/ws/view/copy", '/ws/"o\\1dd"'])
def test_paths_of_the_tree_become_those_of_the_copy_in_every_spelling(tree: str, copy: str) -> None:
    plan = dataclasses.replace(make_plan(), source=tree, discarded=Discarded(copy, overlay=False))
    beside, beneath = f"{tree}-beside", f"{tree}/sub"
    before = {
        "PATHS": f"/usr:{tree}:{beneath}:{beside}:/more{tree}",
        "JSON": json.dumps([tree, beneath, beside]),
        "ALONE": tree,
        "OTHER": "tree",
    }
    moved = _in_copy(before, tree, plan)
    assert moved == {
        "PATHS": f"/usr:{copy}:{copy}/sub:{beside}:/more{tree}",
        "JSON": json.dumps([copy, f"{copy}/sub", beside]),
        "ALONE": copy,
        "OTHER": "tree",
    }
    assert before["ALONE"] == tree


def test_a_tree_that_the_frontend_names_by_a_link_is_moved_too() -> None:
    plan = dataclasses.replace(make_plan(), source="/real", discarded=Discarded("/copy", overlay=False))
    assert _in_copy({"A": "/link:/real/sub"}, "/link", plan) == {"A": "/copy:/copy/sub"}


def test_without_a_copy_the_variables_stay_as_they_are() -> None:
    plan = make_plan()
    assert plan.discarded is None
    assert _in_copy({"A": plan.source}, plan.source, plan) == {"A": plan.source}
