"""The share of a build in the cores."""

from __future__ import annotations

from isolated_hooks.many.cores import core_variables, share

NAMES = {"MAX_JOBS", "MAKEFLAGS", "CMAKE_BUILD_PARALLEL_LEVEL", "CARGO_BUILD_JOBS"}


def test_builds_share_the_cores_and_each_has_one() -> None:
    assert [share(*pair) for pair in ((8, 1), (8, 2), (8, 3), (2, 8), (1, 0))] == [8, 4, 2, 1, 1]


def test_the_tools_get_the_number_unless_the_operator_has_set_it() -> None:
    given = core_variables(3, {"PATH": "/bin"})
    assert given.keys() == NAMES
    assert (given["MAX_JOBS"], given["MAKEFLAGS"]) == ("3", "-j3")
    assert core_variables(3, {"MAKEFLAGS": "", "MAX_JOBS": "1"}).keys() == NAMES - {"MAKEFLAGS", "MAX_JOBS"}
    assert core_variables(None, {}) == {}
