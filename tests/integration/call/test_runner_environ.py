"""The environment of a hook under runners that merge, copy or drop variables."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyproject_hooks
import pytest
from support.projects import caller, facts, plain_caller, write_project

from isolated_hooks import IsolatedRunner, Policy

pytestmark = pytest.mark.usefixtures("sandbox")

Command = Sequence[str]
Variables = Mapping[str, str] | None
TELL_ENVIRON = """
def get_requires_for_build_wheel(config_settings=None):
    tell(environ=dict(os.environ))
    return []
"""


def environ_under(runner: Callable[..., None], tmp_path: Path, policy: Policy | None = None) -> dict[str, str]:
    """Return the environment that a hook has under a runner."""
    project = write_project(tmp_path / "project", extra=TELL_ENVIRON)
    caller(project, policy, runner=runner).get_requires_for_build_wheel()
    environ: dict[str, str] = facts(project)[0]["environ"]
    return environ


@pytest.fixture
def secrets_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret of the frontend")
    monkeypatch.setenv("UNRELATED", "of the frontend")
    monkeypatch.setenv("CFLAGS", "-O1")


@pytest.mark.usefixtures("secrets_around")
def test_variables_that_a_runner_adds_are_kept(tmp_path: Path) -> None:
    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        environ = {
            **os.environ,
            **(extra_environ or {}),
            "PACKAGE_FLAG": "1",
            "CFLAGS": "-O3",
            "MY_TOKEN": "for this one",
        }
        subprocess.run(cmd, cwd=cwd, env=environ, check=True)

    environ = environ_under(runner, tmp_path)
    assert (environ["PACKAGE_FLAG"], environ["CFLAGS"], environ["MY_TOKEN"]) == ("1", "-O3", "for this one")
    assert environ.keys().isdisjoint({"SOME_TOKEN", "UNRELATED"})


@pytest.mark.usefixtures("secrets_around")
def test_a_whole_copy_of_the_environment_lets_nothing_through(tmp_path: Path) -> None:
    inner_calls: list[Mapping[str, str]] = []

    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        inner_calls.append(dict(extra_environ or {}))
        subprocess.run(cmd, cwd=cwd, env=dict(extra_environ or {}), check=True)

    project = write_project(tmp_path / "project", extra=TELL_ENVIRON)
    ours = IsolatedRunner(inner=runner)

    def frontend(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        ours(cmd, cwd=cwd, extra_environ={**os.environ, **(extra_environ or {}), "PACKAGE_FLAG": "1"})

    plain_caller(project, runner=frontend).get_requires_for_build_wheel()
    environ = facts(project)[0]["environ"]
    assert environ["PACKAGE_FLAG"] == "1"
    assert environ["CFLAGS"] == "-O1"
    assert environ.keys().isdisjoint({"SOME_TOKEN", "UNRELATED"})
    assert "SOME_TOKEN" in inner_calls[0]  # so the filter had to remove it
    assert "SOME_TOKEN" in ours.reports[0].dropped


@pytest.mark.usefixtures("secrets_around")
def test_a_runner_that_starts_with_an_empty_environment(tmp_path: Path) -> None:
    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        subprocess.run(cmd, cwd=cwd, env=dict(extra_environ or {}), check=True)

    environ = environ_under(runner, tmp_path)
    assert environ.keys().isdisjoint({"SOME_TOKEN", "UNRELATED", "CFLAGS"})
    assert environ["PATH"]
    assert environ["HOME"] != os.path.expanduser("~")


@pytest.mark.usefixtures("secrets_around")
def test_a_frontend_that_changes_its_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = environ_under(pyproject_hooks.default_subprocess_runner, tmp_path)
    assert before.get("PYTHONPATH") is None
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path / "overlay"))
    (tmp_path / "overlay").mkdir()
    environ = environ_under(pyproject_hooks.default_subprocess_runner, tmp_path)
    assert environ["PYTHONPATH"] == os.fspath(tmp_path / "overlay")
    assert "SOME_TOKEN" not in environ


@pytest.mark.usefixtures("secrets_around")
def test_the_policy_applies_to_ambient_variables(tmp_path: Path) -> None:
    policy = Policy(env_keep=["UNRELATED"], env_delete=["cflags"])
    environ = environ_under(pyproject_hooks.default_subprocess_runner, tmp_path, policy)
    assert environ["UNRELATED"] == "of the frontend"
    assert "CFLAGS" not in environ
