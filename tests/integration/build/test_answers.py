"""``isolated-hooks build --record-answers`` and ``--answers``."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.index import Index, backend_sdist, write_wheel
from support.jsonschema import problems
from support.projects import SDIST, WHEEL, WITH_PYTHON, command, contents, facts, write_project
from support.repository import ROOT
from support.requirements import write_needy
from support.together import commands

pytestmark = pytest.mark.usefixtures("sandbox")

SCHEMA = json.loads((ROOT / "docs/answers.schema.json").read_text(encoding="utf-8"))


def build(place: Path, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return command("build", *arguments, cwd=place, environ={**WITH_PYTHON, **environ})


def test_a_build_from_recorded_answers_asks_no_hook(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    done = build(tmp_path, "-n", "--source", "discard", "--record-answers", "answers.json", "project")
    assert done.returncode == 0, done.stderr
    assert "Recorded 2 answers of hooks in answers.json" in done.stderr
    document = json.loads((tmp_path / "answers.json").read_text())
    assert problems(document, SCHEMA) == []
    assert [answer["requirements"] for answer in document["answers"]] in (
        [[], ["packaging>=1"]],
        [["packaging>=1"], []],
    )
    built = contents(project / "dist")
    # The results lie in the tree, and are left out of its digest.
    done = build(tmp_path, "-n", "--answers", "answers.json", "project")
    assert done.returncode == 0, done.stderr
    assert "Took 2 answers from answers.json, and ran no hook for that" in done.stderr
    assert "Ran 2 hooks in a sandbox: build_sdist, build_wheel" in done.stderr
    assert contents(project / "dist") == built
    assert [fact["hook"] for fact in facts(project)] == ["build_sdist"]


def test_an_sdist_is_known_by_its_digest(tmp_path: Path) -> None:
    write_project(tmp_path / "project")
    assert build(tmp_path, "-n", "-s", "--source", "discard", "-o", "sdist", "project").returncode == 0
    sdist = tmp_path / "sdist" / SDIST
    options = ("-n", "-w", "-o", "out", sdist)
    done = build(tmp_path, "--record-answers", "answers.json", *options)
    assert done.returncode == 0, done.stderr
    done = build(tmp_path, "--answers", "answers.json", *options)
    assert done.returncode == 0, done.stderr
    (tmp_path / "project/backend.py").write_text((tmp_path / "project/backend.py").read_text() + "# changed\n")
    assert build(tmp_path, "-n", "-s", "--source", "discard", "-o", "sdist", "project").returncode == 0
    done = build(tmp_path, "--answers", "answers.json", *options)
    assert done.returncode == 2
    assert "is not the sdist whose answers were recorded" in done.stderr
    assert "Remedy" in done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == [WHEEL]


def test_a_changed_tree_a_missing_answer_and_a_failed_build(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    file = tmp_path / "answers.json"
    discard = ("-n", "--source", "discard")
    assert build(tmp_path, *discard, "-s", "--record-answers", file, "project").returncode == 0
    recorded = file.read_bytes()
    done = build(tmp_path, *discard, "-w", "--answers", file, "project")
    assert done.returncode == 2
    assert "no answer of get_requires_for_build_wheel was recorded" in done.stderr
    (project / "backend.py").write_text((project / "backend.py").read_text() + "raise SystemExit(1)\n")
    done = build(tmp_path, *discard, "-s", "--answers", file, "project")
    assert done.returncode == 2
    assert "is not the one whose answers were recorded" in done.stderr
    assert build(tmp_path, *discard, "-s", "--record-answers", file, "project").returncode == 1
    assert file.read_bytes() == recorded  # a build that fails leaves the file as it was
    assert sorted(os.listdir(tmp_path)) == ["answers.json", "project"]


def test_wrong_use(tmp_path: Path) -> None:
    write_project(tmp_path / "project")
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "directory").mkdir()
    calls = {
        ("--answers", "other.json", "--record-answers", "a"): "not allowed with --answers",
        ("--answers", "missing.json"): "cannot be read",
        ("--answers", "other.json"): "no file with answers",
        ("--answers", "directory"): "directory",
        ("--record-answers", "directory"): "expected the path of a file",
        ("--record-answers", "nowhere/a.json"): "cannot be written",
        ("--record-answers", ""): "cannot be written",
    }
    done = commands([("build", "-n", *options, "project") for options in calls], tmp_path, WITH_PYTHON)
    for (options, text), ended in zip(calls.items(), done, strict=True):
        assert ended.returncode == 2, (options, ended.stderr)
        assert text in ended.stderr
        assert "Traceback" not in ended.stderr
    assert facts(tmp_path / "project") == []


@pytest.mark.slow
def test_build_requirements_are_wheels(tmp_path: Path, index: Index) -> None:
    write_wheel(index.project("ready"), "ready", "1.0")
    backend_sdist(index.project("unready"), "unready")
    ready = write_needy(tmp_path / "ready", ["ready"], ["ready"])
    unready = write_needy(tmp_path / "unready", ["unready"])
    environ = {"PIP_INDEX_URL": index.url, "PIP_CONFIG_FILE": os.devnull}
    options = ("--source", "discard", "-w", "-o", "out")
    done = build(tmp_path, *options, "--record-answers", "answers.json", ready, **environ)
    assert done.returncode == 0, done.stderr
    done = build(tmp_path, *options, "--answers", "answers.json", ready, **environ)
    assert done.returncode == 0, done.stderr
    done = build(tmp_path, *options, "--record-answers", "more.json", unready, **environ)
    assert done.returncode == 1
    assert "take only wheels" in done.stderr
    assert not (tmp_path / "more.json").exists()
