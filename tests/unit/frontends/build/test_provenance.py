"""What a build states, from reports that no hook has made."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.statements import CALLS

from isolated_hooks.errors import IsolatedHooksError, PolicyError, UntrustedResultError
from isolated_hooks.frontends import build
from isolated_hooks.frontends.build.provenance import Provenance
from isolated_hooks.frontends.build.unpacking import TREE
from isolated_hooks.policy import Policy
from isolated_hooks.report import HookReport
from isolated_hooks.results.artefacts import Artefact

WHEEL, SDIST = "example-1.0-py3-none-any.whl", "example-1.0.tar.gz"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a source tree and an output directory with two artefacts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/pyproject.toml").write_text("[project]")
    (tmp_path / "out").mkdir()
    for name in (WHEEL, SDIST):
        (tmp_path / "out" / name).write_text(name)
    return tmp_path


def parsed(*arguments: str) -> argparse.Namespace:
    return build.parser("build").parse_args(["-o", "out", *arguments])


def report(hook: str, name: str) -> HookReport:
    artefact = Artefact(name, len(name), hashlib.sha256(name.encode()).hexdigest())
    return dataclasses.replace(CALLS[1].report, hook=hook, artefacts=(artefact,))


def make(*arguments: str, policy: Policy | None = None, directory: str = "stated") -> Provenance:
    return Provenance(directory, parsed(*arguments, "project"), policy or Policy(), version="0.1.0", typed={})


def first(name: str) -> dict[str, Any]:
    predicate: dict[str, Any] = json.loads(Path(f"stated/{name}.intoto.jsonl").read_text().splitlines()[0])["predicate"]
    return predicate["buildDefinition"]  # type: ignore[no-any-return]


def test_a_wheel_comes_from_the_sdist_unless_both_were_asked_for() -> None:
    reports = [report("build_sdist", SDIST), report("build_wheel", WHEEL)]
    for arguments, source in (((), SDIST), (("-s", "-w"), "source tree")):
        with make(*arguments) as statements:
            statements.recorded(reports)
            assert statements.write() == [f"{SDIST}.intoto.jsonl", f"{WHEEL}.intoto.jsonl"]
        assert first(WHEEL)["resolvedDependencies"][0]["name"] == source
        assert first(SDIST)["resolvedDependencies"][0]["name"] == "source tree"


def test_each_artefact_has_the_requirements_of_its_environment(place: Path) -> None:
    (place / "fetched").mkdir()
    (place / "fetched/a-1-py3-none-any.whl").write_text("a")
    uv = place / "uv" / TREE / "lib/python3.12/site-packages/b-1.dist-info"
    uv.mkdir(parents=True)
    (uv / "RECORD").write_text("b")
    with make("-s", "-w") as statements:
        reports: list[HookReport] = []
        recorded = statements.recorded(reports)
        one = recorded.begin()
        with one.fetching():
            reports.append(report("build_wheel", "a-1-py3-none-any.whl"))
        one.fetched(os.fspath(place / "fetched"))
        reports.append(report("build_sdist", SDIST))
        one.end()
        other = recorded.begin()
        other.fetched(os.fspath(place / "uv"))
        reports.append(report("build_wheel", WHEEL))
        other.end()
        assert statements.write() == [f"{SDIST}.intoto.jsonl", f"{WHEEL}.intoto.jsonl"]
    (_, needed) = first(SDIST)["resolvedDependencies"]
    assert needed["name"] == "a-1-py3-none-any.whl"
    assert needed["annotations"]["role"] == "build requirement, built here from an sdist"
    (_, needed) = first(WHEEL)["resolvedDependencies"]
    assert needed["name"] == "b-1.dist-info/RECORD"
    assert needed["digest"] == {"sha256": hashlib.sha256(b"b").hexdigest()}


def test_one_artefact_that_has_changed_leaves_all_unstated(place: Path) -> None:
    (place / "out" / WHEEL).write_text("changed")
    with make() as statements:
        statements.recorded([report("build_sdist", SDIST), report("build_wheel", WHEEL)])
        with pytest.raises(UntrustedResultError, match="changed after it was vetted"):
            statements.write()
    assert os.listdir(place / "stated") == []


def test_what_is_in_its_place_is_an_error(place: Path) -> None:
    (place / "stated" / f"{WHEEL}.intoto.jsonl").mkdir(parents=True)
    with make() as statements:
        statements.recorded([report("build_wheel", WHEEL)])
        with pytest.raises(IsolatedHooksError, match="could not be written"):
            statements.write()


def test_a_name_that_leaves_no_room_for_the_ending_leaves_all_unstated(place: Path) -> None:
    name = f"example-{'1' * 220}-py3-none-any.whl"
    (place / "out" / name).write_text(name)
    with make() as statements:
        statements.recorded([report("build_sdist", SDIST), report("build_wheel", name)])
        with pytest.raises(IsolatedHooksError, match="too long for a file name"):
            statements.write()
    assert os.listdir(place / "stated") == []


def test_what_the_caller_asked_for(place: Path) -> None:
    (place / "constraints.txt").write_text("a<2")
    settings = '{"mode": [1, 1.5], "token": "x", "deep": {"option": "--password=abc"}}'
    options = ("--no-isolation", "--config-json", settings, "--dependency-constraints-txt", "constraints.txt")
    with make(*options) as statements:
        statements.recorded([report("build_wheel", WHEEL)])
        statements.write()
    asked = first(WHEEL)["externalParameters"]
    assert (asked["isolation"], asked["source"]) == (False, "project")
    assert asked["configSettings"] == {
        "mode": [1, "1.5"],
        "token": "(withheld)",
        "deep": {"option": "(withheld)"},
    }
    assert first(WHEEL)["resolvedDependencies"][1]["digest"] == {"sha256": hashlib.sha256(b"a<2").hexdigest()}
    with make("-Ca=1", "-Ca=2", "-Cb") as statements:
        statements.recorded([report("build_wheel", WHEEL)])
        statements.write()
    assert first(WHEEL)["externalParameters"]["configSettings"] == {"a": ["1", "2"], "b": ""}


def test_the_current_directory_is_not_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place / "project")
    with Provenance("../stated", parsed("-o", "../out"), Policy(), version="0.1.0", typed={}) as statements:
        statements.recorded([report("build_wheel", WHEEL)])
        statements.write()
    text = (place / "stated" / f"{WHEEL}.intoto.jsonl").read_text()
    assert '"source":"."' in text
    assert os.fspath(place) not in text


def test_a_source_or_a_policy_that_says_too_little_is_refused(place: Path) -> None:
    with pytest.raises(PolicyError, match="nobody vets what build_wheel builds"):
        make(policy=Policy(hooks=["build_sdist"]))
    options = parsed("missing")
    with pytest.raises(PolicyError, match="cannot be read for its digest: 'missing'"):
        Provenance("stated", options, Policy(), version="0.1.0", typed={})
    os.mkfifo(place / "fifo")
    with pytest.raises(PolicyError, match="neither a directory nor a file"):
        Provenance("stated", parsed("fifo"), Policy(), version="0.1.0", typed={})
    with pytest.raises(PolicyError, match="nothing can be written"):
        make(directory="project/stated")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read_is_named(place: Path) -> None:
    (place / "project/sub").mkdir()
    (place / "project/sub/closed").touch(mode=0)
    with pytest.raises(PolicyError, match="'project/sub/closed': Permission denied"):
        make()


def test_an_sdist_is_its_own_source(place: Path) -> None:
    (place / SDIST).write_text("sdist")
    with Provenance("stated", parsed("-w", SDIST), Policy(), version="0.1.0", typed={}) as statements:
        statements.recorded([report("build_wheel", WHEEL)])
        statements.write()
    (material,) = first(WHEEL)["resolvedDependencies"]
    assert (material["name"], material["digest"]) == (SDIST, {"sha256": hashlib.sha256(b"sdist").hexdigest()})
