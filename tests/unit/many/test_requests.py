"""Requests are checked before anything runs."""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.each import each

from isolated_hooks import BuildRequest, Policy, PolicyError, build_many
from isolated_hooks.many.requests import check_requests


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with an empty sdist, other files, and source trees, of which one lies in another."""
    for name in ("demo-1.0.tar.gz", "demo.tar.gz", "demo-1.0.zip", "notes.txt", "demo-1.0-py3-none-any.whl"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a b-1.0.tar.gz").write_bytes(b"")
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "tree" / "way").symlink_to(tmp_path / "other")
    (tmp_path / "tree" / "demo-1.0.tar.gz").write_bytes(b"")
    (tmp_path / "same").symlink_to("tree")
    return tmp_path


def test_a_request_is_checked_and_its_paths_become_absolute(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    sdist, tree = check_requests([BuildRequest("demo-1.0.tar.gz", "out"), BuildRequest(Path("tree"), "out")], None)
    assert (sdist.source, sdist.is_tree, sdist.output) == (f"{place}/demo-1.0.tar.gz", False, f"{place}/out")
    assert (sdist.label, tree.label, tree.is_tree) == ("demo 1.0", "tree", True)
    assert (sdist.written, tree.written) == ([], [f"{place}/tree"])
    assert not (place / "out").exists()


def test_the_policy_of_a_request_wins(place: Path) -> None:
    own, common = Policy(network=True), Policy(source="read-only")
    request = BuildRequest(place / "demo-1.0.tar.gz", place / "out")
    assert check_requests([request], common)[0].policy == common
    assert check_requests([dataclasses.replace(request, policy=own)], common)[0].policy == own
    assert check_requests([request], None)[0].policy == Policy()


def test_requests_can_be_pickled(place: Path) -> None:
    request = BuildRequest(os.fspath(place / "tree"), "out", policy=Policy(network=True), config_settings={"a": ["b"]})
    assert pickle.loads(pickle.dumps(request)) == request
    (task,) = check_requests([BuildRequest(place / "demo-1.0.tar.gz", place / "out")], None)
    assert pickle.loads(pickle.dumps(task)) == task
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.source = "b"  # type: ignore[misc]


WRONG: dict[str, Callable[[Path], Any]] = {
    "requests[0]: expected a BuildRequest, got str": lambda p: "demo-1.0.tar.gz",
    "requests[0]: source: expected a path, got int": lambda p: BuildRequest(7, "out"),  # type: ignore[arg-type]
    "requests[0]: source: expected a path as a text": lambda p: BuildRequest("", "out"),
    "does not exist (expected an sdist": lambda p: BuildRequest(p / "none-1.0.tar.gz", p / "out"),
    "notes.txt' is neither": lambda p: BuildRequest(p / "notes.txt", p / "out"),
    "demo.tar.gz' is neither": lambda p: BuildRequest(p / "demo.tar.gz", p / "out"),
    "demo-1.0.zip' is neither": lambda p: BuildRequest(p / "demo-1.0.zip", p / "out"),
    "any.whl' is neither": lambda p: BuildRequest(p / "demo-1.0-py3-none-any.whl", p / "out"),
    "a b-1.0.tar.gz' is neither": lambda p: BuildRequest(p / "a b-1.0.tar.gz", p / "out"),
    "output: expected a path, got NoneType": lambda p: BuildRequest(p / "tree", None),  # type: ignore[arg-type]
    "is not a directory": lambda p: BuildRequest(p / "tree", p / "notes.txt"),
    "got neither": lambda p: BuildRequest(p / "tree", p / "out", wheel=False),
    "wheel: expected True or False": lambda p: BuildRequest(p / "tree", p / "out", wheel=1),  # type: ignore[arg-type]
    "sdist: expected False": lambda p: BuildRequest(p / "demo-1.0.tar.gz", p / "out", sdist=True),
    "policy: expected a Policy": lambda p: BuildRequest(p / "tree", p / "out", policy={}),  # type: ignore[arg-type]
    "cores: expected a number": lambda p: BuildRequest(p / "tree", p / "out", cores=0),
    "config_settings: expected": lambda p: BuildRequest(p / "tree", p / "out", config_settings={"a": object()}),
    "output: '{p}/tree/dist' lies in": lambda p: BuildRequest(p / "tree", p / "tree" / "dist"),
    "output: '{p}/tree' lies in": lambda p: BuildRequest(p / "tree", p / "tree"),
    "output: '{p}/same/dist' lies in": lambda p: BuildRequest(p / "tree", p / "same" / "dist"),
    "output: '{p}/tree/way' lies in": lambda p: BuildRequest(p / "tree", p / "tree" / "way"),
    "output: '{p}/other' lies in": lambda p: BuildRequest(
        p / "tree", p / "other", policy=Policy(writable=[p / "other"])
    ),
}


def test_a_request_that_cannot_be_carried_out_is_an_error_before_anything_runs(place: Path) -> None:
    before = sorted(place.rglob("*"))

    def check(text: str) -> None:
        with pytest.raises(PolicyError) as caught:
            build_many([WRONG[text](place)])
        assert text.replace("{p}", str(place)) in str(caught.value)

    each(WRONG, check)
    assert sorted(place.rglob("*")) == before


def test_requests_whose_hooks_would_write_to_each_other_are_refused(place: Path) -> None:
    tree = BuildRequest(place / "tree", place / "out")
    for other, problem in {
        "tree": "requests[1]: source",
        "same": "requests[1]: source",
        "tree/inner": "lies in the source tree of requests[0]",
        "tree/demo-1.0.tar.gz": "lies in a source tree or another directory that hooks may write to",
    }.items():
        for requests in ([tree, BuildRequest(place / other, place / "out")],):
            with pytest.raises(PolicyError) as caught:
                build_many(requests)
            assert problem in str(caught.value)
    with pytest.raises(PolicyError, match="is or lies in the source tree of"):
        build_many([BuildRequest(place / "tree" / "inner", place / "out"), tree])
    writes = BuildRequest(place / "demo-1.0.tar.gz", place / "out", policy=Policy(writable=[place / "tree"]))
    for requests in ([tree, writes], [writes, BuildRequest(place / "tree" / "inner", place / "out")]):
        with pytest.raises(PolicyError, match="makes writable"):
            build_many(requests)


def test_other_arguments_are_checked_as_well(place: Path) -> None:
    with pytest.raises(PolicyError, match="policy: expected a Policy, got dict"):
        build_many([], policy={})  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match=r"executor: expected a concurrent\.futures\.Executor, got int"):
        build_many([BuildRequest(place / "tree", place / "out")], executor=2)  # type: ignore[arg-type]
    assert build_many([]) == ()
