"""``isolated-hooks build --explain-denials``: who asked for what in vain, how often, and the line that allows it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from support.brokenprojects import BROKEN
from support.jsonschema import problems
from support.lanes import first_fast
from support.projects import CLI, WHEEL, caller, cannot_run, command, contents, run_text, write_project
from support.repository import NARROW, ROOT

from isolated_hooks import Policy, SandboxUnavailableError
from isolated_hooks.run import trial

pytestmark = pytest.mark.usefixtures("sandbox")

SCHEMA = json.loads((ROOT / "docs/report.schema.json").read_text(encoding="utf-8"))
#: It phones home, reads a credential and plants a git hook, and hides that from its caller.
HOSTILE = """
_build = build_wheel
def build_wheel(*args, **options):
    import socket
    def plant():
        with open(".git/hooks/post-commit", "w") as file:
            file.write("#!/bin/sh")
    for step in (
        lambda: socket.create_connection(("192.0.2.1", 443), 5),
        lambda: socket.getaddrinfo("evil.example.org", 443),
        lambda: open("{home}/.netrc").read(),
        plant,
    ):
        try:
            step()
        except OSError:
            pass
    return _build(*args, **options)
"""


def hostile(base: Path) -> Path:
    """Write the project, and what it is after."""
    (base / "home").mkdir()
    (base / "home/.netrc").write_text("machine a login b password hidden-value")
    project = write_project(base / "project", extra=HOSTILE.replace("{home}", f"{base}/home"))
    assert run_text(["git", "init", "-q", os.fspath(project)]).returncode == 0
    return project


def denied(report: Path, hook: str = "build_wheel") -> list[dict[str, Any]]:
    document = json.loads(report.read_text(encoding="utf-8"))
    assert problems(document, SCHEMA) == []
    return [row for call in document["isolated_hooks"]["hooks"] if call["hook"] == hook for row in call["denied"]]


def build(project: Path, base: Path, *options: str | Path, **environ: str) -> Any:
    return command("build", "-nw", "--explain-denials", *options, project, environ={"HOME": f"{base}/home", **environ})


def test_a_hostile_package_is_told_in_plain_words(tmp_path: Path) -> None:
    project, report = hostile(tmp_path), tmp_path / "report.json"
    before = contents(project / ".git")
    done = build(project, tmp_path, "--report", report)
    assert done.returncode == 0, done.stderr  # nothing failed, and yet it is told
    assert contents(project / ".git") == before
    for words in (
        "it tried to connect to 192.0.2.1 port 443, and hooks have no network",
        "it tried to look up a host name (evil.example.org), and hooks have no network",
        f"it tried to read {tmp_path}/home/.netrc, a place of private files: hooks do not get it",
        f"it tried to write {project}/.git/hooks/post-commit, which git or another program outside obeys",
    ):
        row = next(line for line in done.stderr.splitlines() if words in line)
        assert "(build_wheel" in row and "python" in row
        (told,) = [row for row in denied(report) if words in row["text"]]
        assert told["count"] >= 1 and "python" in told["program"]
        if ".netrc" in words or ".git" in words:
            assert told["option"] == told["policy"] == ""
    assert "hidden-value" not in done.stderr + report.read_text()


@pytest.mark.parametrize(
    "name", first_fast(("a private header", "a cache", "to write outside", "a variable", "a host by its name"), 2)
)
def test_what_a_failed_build_lacked_stands_in_the_table(name: str, tmp_path: Path) -> None:
    broken = BROKEN[name]
    (tmp_path / "home").mkdir()
    if broken.program and shutil.which(broken.program) is None:
        cannot_run(f"{broken.program} is not installed")
    project, report = broken.write(tmp_path), tmp_path / "report.json"
    done = build(project, tmp_path, "--report", report, **broken.variables(tmp_path))
    assert done.returncode == 1
    table = done.stderr[done.stderr.index("* What hooks asked for and the sandbox denied:") :]
    rows = [row for row in denied(report) if row["option"] == broken.option.format(base=tmp_path)]
    assert len(rows) == 1
    assert f"add: {rows[0]['option']}    or to the policy: {rows[0]['policy']}" in table
    if name != "a variable":  # nobody sees a process look into its own memory
        assert rows[0]["program"] and rows[0]["count"]


def test_how_often_and_by_a_program_that_the_hook_starts(tmp_path: Path) -> None:
    """The name of a process is its own to choose, and so are the names of files."""
    base = tmp_path / "base"
    (base / "sdk\x1b[2J").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    script = f"for i in 1 2 3; do test -e '{base}/sdk\\033[2J'; done"
    code = f"import subprocess; subprocess.run(['sh', '-c', \"printf '%b' \\\"{script}\\\" | sh\"])"
    hook = (
        f"_build = build_wheel\ndef build_wheel(*args, **options):\n    {code}\n    return _build(*args, **options)\n"
    )
    project, report = write_project(tmp_path / "project", extra=hook), tmp_path / "report.json"
    done = build(project, tmp_path, "--report", report)
    assert done.returncode == 0, done.stderr
    (row,) = [row for row in denied(report) if "sdk" in row["text"]]
    assert (row["program"], row["count"]) == ("sh", 3)
    assert "\x1b" not in done.stderr and "\x1b" not in json.dumps(row, ensure_ascii=False)


@pytest.mark.slow
def test_nothing_is_told_of_a_project_that_tries_what_works_outside_too(tmp_path: Path) -> None:
    """pathlib makes the last directory first, and looks for those above if that fails."""
    code = "import pathlib; pathlib.Path('build/a/b').mkdir(parents=True); pathlib.Path('/tmp/a/b').mkdir(parents=True)"
    hook = (
        f"_build = build_wheel\ndef build_wheel(*args, **options):\n    {code}\n    return _build(*args, **options)\n"
    )
    project, report = write_project(tmp_path / "project", extra=hook), tmp_path / "report.json"
    done = build(project, tmp_path, "--report", report)
    assert done.returncode == 0, done.stderr
    assert [row["text"] for row in denied(report) if row["cause"] != "read"] == []


@pytest.mark.slow
def test_an_unobserved_build_has_no_table_and_the_artefact_is_the_same(tmp_path: Path) -> None:
    project = hostile(tmp_path)
    wheels = []
    for options in ((), ("--explain-denials",)):
        done = command("build", "-nw", *options, project, environ={"HOME": f"{tmp_path}/home"})
        assert done.returncode == 0, done.stderr
        assert ("What hooks asked for" in done.stderr) == bool(options)
        wheels.append((project / "dist" / WHEEL).read_bytes())
    assert wheels[0] == wheels[1]


def test_bubblewrap_cannot_observe(bubblewrap: None, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    done = build(project, tmp_path, "--launcher", "bubblewrap")
    assert done.returncode == 3
    assert "the launcher bubblewrap cannot observe what hooks ask for" in done.stderr
    assert "use the launcher native" in done.stderr
    assert not (project / "dist").exists()


@pytest.mark.slow
def test_a_host_without_user_namespaces_cannot_observe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isolated_hooks.plan import Identity

    everything = frozenset(i for i in Identity if not i.confined)
    monkeypatch.setattr(trial, "refused_identities", lambda *_: everything)
    hooks = caller(write_project(tmp_path / "project"), Policy(allow_degraded=["filesystem", "processes", "ipc"]))
    hooks._subprocess_runner.observes = True  # type: ignore[attr-defined]
    with pytest.raises(SandboxUnavailableError, match="takes user namespaces") as caught:
        hooks.get_requires_for_build_wheel()
    assert "build without --explain-denials" in caught.value.remedy


@pytest.mark.slow
def test_a_host_whose_pid_1_cannot_listen_runs_no_observed_hook(tmp_path: Path) -> None:
    """Where the whole host has a listener already, a filter beneath can have none: EBUSY. Unobserved, the hook runs."""
    outer = (sys.executable, os.fspath(NARROW), "landlock-abi=1", "--")
    if run_text([*outer, "true"]).returncode != 0:
        pytest.skip("this host cannot be made to offer less")
    project = write_project(tmp_path / "project")
    done = run_text([*outer, *CLI, "build", "-nw", "--explain-denials", project])
    assert done.returncode == 3
    assert "observing system calls: the host lets pid 1 of the sandbox listen to none" in done.stderr
    assert "build without --explain-denials" in done.stderr
    assert not (project / "dist" / WHEEL).exists() and not (project / "facts.jsonl").exists()
    assert run_text([*outer, *CLI, "build", "-nw", project]).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "outer",
    (
        ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none /proc/sys && exec "$@"', "sh"),
        ("unshare", "--map-root-user", "--pid", "--fork"),
    ),
    ids=("the old /proc", "a /proc of a PID namespace above"),
)
def test_the_numbers_of_processes_may_be_others_in_proc(outer: tuple[str, ...], tmp_path: Path) -> None:
    if run_text([*outer, "true"]).returncode != 0:
        pytest.skip("this host cannot be made to offer less")
    (tmp_path / "data").mkdir()
    code = "import subprocess; subprocess.run(['sh', '-c', 'cd /usr; test -e ../data/x; test -e {0}/data'])"
    hook = f"_build = build_wheel\ndef build_wheel(*args, **options):\n    {code.format(tmp_path)}\n"
    project = write_project(tmp_path / "project", extra=hook + "    return _build(*args, **options)\n")
    report = tmp_path / "report.json"
    done = run_text([*outer, *CLI, "build", "-nw", "--explain-denials", "--report", report, project])
    assert done.returncode == 0, done.stderr
    (row,) = [row for row in denied(report) if f"{tmp_path}/data," in row["text"]]
    assert (row["program"], row["count"]) == ("sh", 1)
