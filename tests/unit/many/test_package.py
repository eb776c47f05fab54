"""How the process that builds a package is started."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from isolated_hooks import BuildRequest, Outcome, Policy, UntrustedResultError, build_many
from isolated_hooks.many import package
from isolated_hooks.many.outcomes import BuildResult
from isolated_hooks.many.permit import Permit, Watch
from isolated_hooks.many.requests import Task, check_requests
from isolated_hooks.many.supervise import Ended


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[str], Mapping[str, str]]]:
    """The commands that would have been started, each with its environment."""
    commands: list[tuple[Sequence[str], Mapping[str, str]]] = []

    def supervise(command: Sequence[str], watch: Watch, environ: Mapping[str, str], *, tied: bool) -> Ended:
        commands.append((command, environ))
        return Ended(1, "* Building\nERROR first\nERROR the last\nTIP none\n", stopped=False)

    monkeypatch.setattr(package, "supervise", supervise)
    return commands


def test_its_environment_leads_into_no_source_tree_of_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[tuple[Sequence[str], Mapping[str, str]]]
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "demo-1.0.tar.gz").write_bytes(b"")
    monkeypatch.setenv("PATH", f"{tree}:/usr/bin:{tree}/bin:relative:/bin")
    monkeypatch.setenv("LD_LIBRARY_PATH", os.fspath(tree))
    monkeypatch.setenv("PYTHONPATH", os.fspath(tree))
    monkeypatch.setenv("KEPT", "value")
    requests = [BuildRequest(source, tmp_path / "out") for source in (tmp_path / "demo-1.0.tar.gz", tree)]
    results = build_many(requests)
    assert len(started) == 2
    for command, environ in started:
        assert "-I" in command
        assert environ["PATH"] == "/usr/bin:/bin"
        assert os.fspath(tree) not in environ.get("LD_LIBRARY_PATH", "") + environ.get("PYTHONPATH", "")
        assert environ["KEPT"] == "value"
        assert os.path.dirname(environ["TMPDIR"]) == os.path.dirname(command[-1])
    assert [(result.outcome, result.error) for result in results] == [(Outcome.FAILED, "the last")] * 2
    assert os.listdir(tmp_path / "out") == []


def test_a_build_that_is_killed_without_an_answer_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "supervise", lambda *_, **__: Ended(-9, "", stopped=False))
    (tmp_path / "demo-1.0.tar.gz").write_bytes(b"")
    (result,) = build_many([BuildRequest(tmp_path / "demo-1.0.tar.gz", tmp_path / "out")])
    assert (result.outcome, result.error) == (Outcome.FAILED, "the build ended with exit code -9")


def _task(tmp_path: Path, **policy: bool) -> Task:
    (tmp_path / "demo-1.0.tar.gz").write_bytes(b"")
    (task,) = check_requests([BuildRequest(tmp_path / "demo-1.0.tar.gz", tmp_path / "out")], Policy(**policy))
    return task


@pytest.mark.parametrize("wheel", ["other-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"])
def test_a_wheel_takes_the_place_of_no_other_package(wheel: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedResultError, match="the name and version of its sdist"):
        package._check_project(_task(tmp_path), wheel)
    package._check_project(_task(tmp_path), "demo-1.0-py3-none-any.whl")
    package._check_project(_task(tmp_path, allow_other_names=True), wheel)


def test_a_build_leaves_one_artefact_of_a_kind(tmp_path: Path) -> None:
    """A report names an artefact, and another command of the build has removed it, or there are two."""
    task, staging = _task(tmp_path), tmp_path / "staging"
    staging.mkdir()
    order = package.Order(task, "", os.fspath(tmp_path), os.fspath(staging), [])
    with Permit(os.fspath(tmp_path)) as permit, Watch(permit.path) as watch:
        build = package._Build(order, watch, BuildResult(task.request, Outcome.FAILED))
        with pytest.raises(UntrustedResultError, match="must leave one artefact"):
            build._artefact([], "build_wheel", str)
