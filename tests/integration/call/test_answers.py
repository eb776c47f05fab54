"""``Answers`` with callers and runners: a recorded hook does not run, and no way around the caller makes it run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from support.projects import caller, facts, write_project

from isolated_hooks import Answers, IsolatedRunner, Policy, PolicyError, UntrustedResultError, swap

pytestmark = pytest.mark.usefixtures("sandbox")

HOOK = "get_requires_for_build_wheel"


def recorded(project: Path, path: Path, **options: object) -> Path:
    """Record the answer of one hook of a fresh project in a file, and put the project back as it was."""
    answers = Answers.recording()
    assert caller(project, answers=answers).get_requires_for_build_wheel(**options) == ["packaging>=1"]
    assert [fact["hook"] for fact in facts(project)] == [HOOK]
    shutil.rmtree(project / "__pycache__", ignore_errors=True)
    path.write_bytes(answers.encoded())
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project")


@pytest.fixture
def file(project: Path, tmp_path: Path) -> Path:
    return recorded(project, tmp_path / "answers.json")


def test_a_recorded_hook_does_not_run(project: Path, file: Path) -> None:
    answers = Answers.read(file)
    hooks = caller(project, answers=answers)
    assert hooks.get_requires_for_build_wheel() == hooks.get_requires_for_build_wheel({}) == ["packaging>=1"]
    assert facts(project) == []
    assert hooks.reports == []
    assert answers.given == [HOOK, HOOK]


def test_a_copy_elsewhere_is_the_same_tree_also_after_other_hooks(project: Path, file: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "elsewhere/project"))
    (copy / ".git").mkdir()
    (copy / ".git/HEAD").write_text("ref: refs/heads/main\n")
    hooks = caller(copy, answers=Answers.read(file))
    hooks.build_wheel(os.fspath(tmp_path))
    assert facts(copy)
    assert hooks.get_requires_for_build_wheel() == ["packaging>=1"]


def test_what_was_not_recorded_is_refused_and_not_run(project: Path, file: Path, tmp_path: Path) -> None:
    hooks = caller(project, answers=Answers.read(file))
    with pytest.raises(PolicyError, match="no answer of get_requires_for_build_sdist"):
        hooks.get_requires_for_build_sdist()
    with pytest.raises(PolicyError, match="other config settings"):
        hooks.get_requires_for_build_wheel({"mode": "fast"})
    other = write_project(tmp_path / "other/project", files={"more.py": ""})
    with pytest.raises(PolicyError, match="is not the one whose answers were recorded"):
        caller(other, answers=Answers.read(file)).get_requires_for_build_wheel()
    with pytest.raises(PolicyError, match="no answer"):
        caller(project, answers=Answers.none()).get_requires_for_build_wheel()
    assert facts(project) == facts(other) == []


@pytest.mark.parametrize(("key", "value"), [("version", "3.9"), ("implementation", "pypy"), ("platform", "linux-s390")])
def test_another_interpreter_or_platform_is_refused(project: Path, file: Path, key: str, value: str) -> None:
    document = json.loads(file.read_text())
    document["answers"][0]["interpreter"][key] = value
    file.write_text(json.dumps(document))
    with pytest.raises(PolicyError, match=f"another interpreter .*{value}"):
        caller(project, answers=Answers.read(file)).get_requires_for_build_wheel()
    assert facts(project) == []


def test_an_interpreter_whose_name_tells_nothing_is_refused_without_running_it(project: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch {tmp_path}/ran\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for answers in (Answers.recording(), Answers.none()):
        with pytest.raises(PolicyError, match="nobody can tell the version"):
            caller(project, answers=answers, python_executable=os.fspath(python)).get_requires_for_build_wheel()
    assert facts(project) == []
    assert not (tmp_path / "ran").exists()


def test_requirements_that_somebody_edited_are_vetted(project: Path, file: Path) -> None:
    file.write_text(file.read_text().replace("packaging>=1", "-r /etc/passwd"))
    with pytest.raises(UntrustedResultError):
        caller(project, answers=Answers.read(file)).get_requires_for_build_wheel()
    assert facts(project) == []


def test_no_other_runner_makes_the_hook_run(project: Path, file: Path) -> None:
    answers = Answers.read(file)
    runner = IsolatedRunner()
    runner.answers = answers
    hooks = caller(project, Policy(), runner=runner)  # a policy replaces the runner's, and not its answers
    with hooks.subprocess_runner(IsolatedRunner()):
        assert hooks.get_requires_for_build_wheel() == ["packaging>=1"]
    with hooks.subprocess_runner(lambda *_, **__: pytest.fail("it was started")):
        assert hooks.get_requires_for_build_wheel() == ["packaging>=1"]
    assert facts(project) == []


def test_a_swap_hands_them_on(project: Path, file: Path) -> None:
    import pyproject_hooks

    runner = IsolatedRunner()
    runner.answers = Answers.read(file)
    with swap("pyproject_hooks", runner=runner):
        for options in ({}, {"policy": Policy()}):
            hooks = pyproject_hooks.BuildBackendHookCaller(os.fspath(project), "backend", ["."], **options)
            assert hooks.get_requires_for_build_wheel() == ["packaging>=1"]
    assert facts(project) == []


def test_two_answers_for_one_question_are_refused(tmp_path: Path) -> None:
    changing = "def get_requires_for_build_wheel(config_settings=None): return [f'a=={time.time_ns()}']\n"
    hooks = caller(write_project(tmp_path / "project", extra=changing), answers=Answers.recording())
    hooks.get_requires_for_build_wheel()
    with pytest.raises(UntrustedResultError, match="must not give two answers"):
        hooks.get_requires_for_build_wheel()


def test_a_hook_without_a_sandbox_is_not_recorded(project: Path) -> None:
    with pytest.raises(PolicyError, match="not recorded"):
        caller(project, Policy(hooks=["build_wheel"]), answers=Answers.recording()).get_requires_for_build_wheel()
    assert facts(project) == []


def test_settings_have_an_answer_of_their_own_and_keep_their_values_to_themselves(
    project: Path, tmp_path: Path
) -> None:
    settings = {"token": "a-secret-value"}
    path = recorded(project, tmp_path / "answers.json", config_settings=settings)
    assert "a-secret-value" not in path.read_text()
    hooks = caller(project, answers=Answers.read(path))
    assert hooks.get_requires_for_build_wheel(settings) == ["packaging>=1"]
    with pytest.raises(PolicyError):
        hooks.get_requires_for_build_wheel()
    assert facts(project) == []
