"""``isolated-hooks build --report``: what was built, and what each hook did, in build's own schema and ours."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.jsonschema import problems
from support.lanes import first_fast
from support.projects import SDIST, WHEEL, WITH_PYTHON, command, contents, facts, write_project
from support.repository import ROOT

pytestmark = pytest.mark.usefixtures("sandbox")

SCHEMA = json.loads((ROOT / "docs/report.schema.json").read_text(encoding="utf-8"))
SECRET = "the value of a variable"
# Names as hostile as the kernel lets them be, and more of them than a report has.
HOSTILE = r"""
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    home = os.environ["HOME"]
    os.makedirs(home + "/.config/a")
    open(home + "/.netrc", "w").close()
    open(home + "/\x1b[2J\n::set-env name=x::", "w").close()
    for number in range(300):
        open(f"many{number:03}", "w").close()
    for name in ("conftest.py", ".github", "zz\x1b[2J\n##[command]", "zz\udcff", "\u202egpj"):
        open(name, "w").close()
    open("pyproject.toml", "a").write("\n")
    os.unlink("gone")
    return _wheel(wheel_directory, {})
"""


def build(project: Path, path: Path, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    argv = ("build", "-n", "--report", path, *arguments, project)
    done = command(*argv, environ={**WITH_PYTHON, "MY_SECRET": SECRET})
    assert done.returncode == code, done.stderr
    text = path.read_text(encoding="ascii")
    assert SECRET not in text
    report: dict[str, Any] = json.loads(text)
    assert problems(report, SCHEMA) == []
    assert not [name for name in os.listdir(path.parent) if name.startswith(".isolated-hooks-")]
    return report


def test_the_schema_refuses_what_a_report_never_has(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    report = build(project, tmp_path / "report.json", "-w")
    hook = report["isolated_hooks"]["hooks"][0]
    for key, wrong in {"hook": 1, "source_tree": {}, "usage": {"user": -1}, "home_left": [1], "other": 1}.items():
        changed = {**report["isolated_hooks"], "hooks": [{**hook, key: wrong}]}
        assert problems({**report, "isolated_hooks": changed}, SCHEMA), key


@pytest.mark.parametrize("source", first_fast(["read-write", "discard"]))
def test_a_report_has_what_was_built_and_what_each_hook_did(source: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    out = tmp_path / "out"
    report = build(project, tmp_path / "report.json", "--source", source, "-o", out)
    assert [(entry["name"], entry["kind"]) for entry in report["artifacts"]] == [(SDIST, "sdist"), (WHEEL, "wheel")]
    for entry in report["artifacts"]:
        data = (out / entry["name"]).read_bytes()
        assert entry["path"] == os.fspath(out / entry["name"])
        assert (entry["size"], entry["hashes"]["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    ours = report["isolated_hooks"]
    assert (ours["outcome"], ours["error"], ours["source"]) == ("succeeded", "", source)
    first, second, *_ = hooks = ours["hooks"]
    requires = ("get_requires_for_build_sdist", "build_sdist", "get_requires_for_build_wheel", "build_wheel")
    assert tuple(hook["hook"] for hook in hooks) == requires
    assert "facts.jsonl" in first["source_tree"]["new"]
    assert second["source_tree"]["changed"] == ["facts.jsonl"]
    assert "MY_SECRET" in first["variables_dropped"]
    assert first["protections"]["network"]["state"] == "active"
    assert all(hook["usage"]["max_rss"] > 1 << 20 and hook["usage"]["user"] > 0 for hook in hooks)
    assert [entry["name"] for entry in second["artifacts"]] == [SDIST]


@pytest.mark.parametrize("source", first_fast(["read-write", "discard"]))
def test_names_of_a_hook_are_bounded_and_escaped_and_what_is_obeyed_comes_first(source: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=HOSTILE, files={"gone": ""})
    report = build(project, tmp_path / "report.json", "-w", "--source", source)
    hook = report["isolated_hooks"]["hooks"][-1]
    tree = hook["source_tree"]
    assert tree["new"][:2] == [".github", "conftest.py"]
    assert tree["changed"][0] == "pyproject.toml"
    assert tree["removed"] == ["gone"]
    assert len(tree["new"]) == 200
    assert tree["counts"]["new"] >= 305
    assert tree["cut"] == ""
    assert {".config/", ".config/a/", ".netrc", "\\x1b[2J\\x0a::set-env name=x::"} == set(hook["home_left"])
    text = json.dumps(report, ensure_ascii=False)
    assert not {"\x1b", "\udcff", "\u202e"} & set(text)


@pytest.mark.slow
def test_a_build_that_fails_has_a_report(tmp_path: Path) -> None:
    extra = "def build_wheel(*_):\n    open('left', 'w').close(); raise ValueError('broken')\n"
    project = write_project(tmp_path / "project", extra=extra)
    (tmp_path / "report.json").write_text("an earlier report")
    report = build(project, tmp_path / "report.json", "-w", code=1)
    assert report["artifacts"] == []
    assert report["isolated_hooks"]["outcome"] == "failed"
    last = report["isolated_hooks"]["hooks"][-1]
    assert (last["hook"], last["returncode"]) == ("build_wheel", 1)
    assert last["source_tree"]["new"] == ["left"]
    extra = "def build_wheel(*_):\n    import time; time.sleep(600)\n"
    project = write_project(tmp_path / "slow", extra=extra)
    report = build(project, tmp_path / "report.json", "-w", "--limit", "wall-time=1", code=1)
    last = report["isolated_hooks"]["hooks"][-1]
    assert last["limits_met"] == ["wall_time"]
    assert "wall" in report["isolated_hooks"]["error"]


ASKING = """
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    import urllib.request
    try:
        urllib.request.urlopen("http://other.example:8080/secret-path")
    except OSError:
        pass
    raise SystemExit("asked in vain")
"""


def test_a_report_names_the_hosts_that_a_hook_asked_for(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=ASKING)
    report = build(project, tmp_path / "report.json", "-w", "--network", "192.0.2.1:443", code=1)["isolated_hooks"]
    assert report["network"] == ["192.0.2.1:443"]
    hook = report["hooks"][-1]
    ((host, port, problem),) = {(c["host"], c["port"], bool(c["problem"])) for c in hook["connections"]}
    assert (host, port, problem) == ("other.example", 8080, True)
    assert hook["denied"][0]["option"] == "--network other.example:8080"
    assert "secret-path" not in json.dumps(report)


@pytest.mark.slow
def test_what_cannot_be_written_is_refused_before_a_hook_runs(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra="tell(imported=True)")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    (project / "link").symlink_to(tmp_path / "directory")
    refused = [tmp_path / "missing/report.json", tmp_path / "fifo", tmp_path / "directory", "", "/proc/report.json"]
    refused += [project / "link/report.json", f"{tmp_path}/report/"]
    if os.geteuid() != 0:
        refused.append("/etc/report.json")
    before = contents(project)
    for path in refused:
        done = command("build", "-n", "--report", path, project, environ=WITH_PYTHON)
        assert done.returncode == 2, (path, done.stderr)
        assert "--report: " in done.stderr
        assert "cannot be written" in done.stderr
    done = command("build", "-n", "--metadata", "--report", tmp_path / "x", project, environ=WITH_PYTHON)
    assert done.returncode == 2
    assert facts(project) == []
    assert contents(project) == before


@pytest.mark.slow
def test_a_link_in_its_place_is_replaced_and_a_directory_that_a_hook_moves_is_not_written_to(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("as it was")
    swap = """
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    os.rename("reports", "moved"); os.symlink(%r, "reports")
    return _wheel(wheel_directory, {})
"""
    project = write_project(tmp_path / "project", extra=swap % os.fspath(tmp_path))
    (project / "reports").mkdir()
    done = command("build", "-nw", "--report", project / "reports/target", project, environ=WITH_PYTHON)
    assert done.returncode != 0
    assert "must not move" in done.stderr
    assert target.read_text() == "as it was"
    assert os.listdir(project / "moved") == []
    link = "def build_wheel(d, *_, **__):\n    os.symlink(%r, 'report'); return _wheel(d, {})\n"
    project = write_project(tmp_path / "second", extra=link % os.fspath(target))
    report = build(project, project / "report", "-w")
    assert report["isolated_hooks"]["outcome"] == "succeeded"
    assert target.read_text() == "as it was"
    assert not (project / "report").is_symlink()
