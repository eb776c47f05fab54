"""``isolated-hooks explain``: the plan for a hook, in words and as JSON, with no change to anything."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from support.lanes import first_fast
from support.projects import caller, clean_environ, command, contents, facts, nothing_left, write_project

from isolated_hooks.plan.view import SCRATCH
from isolated_hooks.policy import HOOKS

# Runs a command line, and fails if it starts a process, opens a connection or changes a file.
_WATCHED = """\
import os, sys

FORBIDDEN = ("subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.system", "os.mkdir", "os.remove", "os.rename",
             "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate", "os.utime", "socket.",
             "tempfile.", "shutil.", "pty.", "ctypes.dlsym")
armed = False

def hook(event, arguments):
    if not armed:
        return
    writing = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if event.startswith(FORBIDDEN) or writing:
        print("FORBIDDEN", event, arguments, file=sys.stderr)
        os._exit(99)

sys.dont_write_bytecode = True
sys.addaudithook(hook)
import isolated_hooks.cli.explain  # which looks up functions of the C library
from isolated_hooks.cli import main
armed = True
try:
    code = main(sys.argv[1:])
    sys.stdout.flush()
finally:
    armed = False  # a measurement of coverage writes its file at the end
sys.exit(code)
"""


def explain(*arguments: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run ``isolated-hooks explain`` with the audit hook."""
    return subprocess.run(
        [sys.executable, "-c", _WATCHED, "explain", *(os.fspath(argument) for argument in arguments)],
        cwd=cwd,
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", extra="tell(imported=True)")


def test_the_audit_hook_detects_a_write() -> None:
    program = _WATCHED.replace("code = main(sys.argv[1:])", "code = open('/dev/null', 'w')")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 99
    assert "FORBIDDEN open" in done.stderr


@pytest.mark.parametrize("hook", first_fast(HOOKS, 3))
def test_each_hook_in_words_and_as_json(hook: str, project: Path, tmp_path: Path) -> None:
    before = contents(project)
    with nothing_left(tmp_path):
        words = explain("project", "--hook", hook, cwd=tmp_path, SOME_TOKEN="value-of-it")
        document = explain("project", "--hook", hook, "--json", cwd=tmp_path, SOME_TOKEN="value-of-it")
    assert (words.returncode, words.stderr) == (document.returncode, document.stderr) == (0, "")
    assert contents(project) == before
    assert facts(project) == []
    plan = json.loads(document.stdout)
    assert plan["argv"][0] == sys.executable
    assert plan["argv"][2] == hook
    assert plan["cwd"] == os.fspath(project)
    assert plan["environment"]["dropped"]["SOME_TOKEN"] == "secret name"
    assert "value-of-it" not in words.stdout + document.stdout
    lines = words.stdout.splitlines()
    assert any(line.startswith("command: ") and f" {hook} " in line for line in lines)
    assert f"directory: {project}" in lines
    assert "network: only a loopback interface of its own" in lines
    assert any(os.fspath(project) in line and "writ" in line for line in lines)
    shown = lines[lines.index("filesystem, from nothing:") + 1 :]
    assert len(list(itertools.takewhile(lambda line: line.startswith("  "), shown))) == len(plan["operations"])
    assert ("staging" in words.stdout) is (hook.startswith(("build_", "prepare_metadata_")))


def test_the_default_source_tree_is_the_current_directory(project: Path) -> None:
    assert f"directory: {project}" in explain(cwd=project).stdout.splitlines()


def test_options_change_the_plan(project: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    options = [
        "--network",
        "--source",
        "read-only",
        "--expose",
        "more",
        "--env-keep",
        "SOME_TOKEN",
        "--time-limit",
        "9",
    ]
    done = explain(*options, "--json", "project", cwd=tmp_path, SOME_TOKEN="1")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    binds = {o["target"]: o for o in plan["operations"] if o["operation"] == "Bind"}
    assert not binds[os.fspath(project)]["writable"]
    assert os.fspath(tmp_path / "more") in binds
    assert "SOME_TOKEN" in plan["environment"]["kept"]
    assert plan["policy"]["network"] is True
    assert plan["policy"]["limits"]["wall_time"] == 9
    assert "network: the caller's" in explain(*options, "project", cwd=tmp_path).stdout.splitlines()


def test_another_interpreter(project: Path, tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    done = explain("--python", link, "--json", project, cwd=tmp_path)
    plan = json.loads(done.stdout)
    assert plan["argv"][0] == os.fspath(link)
    assert any(o.get("target") == os.fspath(link) for o in plan["operations"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    first_fast(
        [
            (["missing"], "is not a directory"),
            (["project", "--hook", "no_such"], "no_such"),
            (["project", "--expose", "missing"], "does not exist"),
            (["project", "--config", "missing.toml"], "missing.toml"),
            (["project", "--python", "no-such-python"], "no-such-python"),
            (["project", "more"], "more"),
            (["/"], "source tree"),
        ],
        3,
    ),
)
def test_invalid_arguments_are_a_usage_error(arguments: list[str], message: str, project: Path) -> None:
    done = explain(*arguments, cwd=project.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_path_cannot_control_the_terminal(tmp_path: Path) -> None:
    project = write_project(tmp_path / "a\x1b[31m\nb")
    done = explain(project, cwd=tmp_path)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith("directory: ")]) == 1
    assert r"a\x1b[31m\x0ab" in done.stdout
    assert json.loads(explain(project, "--json", cwd=tmp_path).stdout)["cwd"] == os.fspath(project)


@pytest.mark.usefixtures("sandbox")
def test_the_hook_gets_the_mounts_of_the_plan(tmp_path: Path) -> None:
    extra = "tell(mounts=[line.split()[4:6] for line in open('/proc/self/mountinfo')], uid=os.getuid())"
    project = write_project(tmp_path / "project", extra=extra)
    hooks = caller(project)
    hooks.get_requires_for_build_sdist()
    hook_facts = facts(project)[0]
    done = command("explain", project, "--hook", "get_requires_for_build_sdist", "--json")
    plan: dict[str, Any] = json.loads(done.stdout)
    writable = {path for path, options in hook_facts["mounts"] if options.split(",")[0] == "rw"}
    binds = [o for o in plan["operations"] if o["operation"] == "Bind" and "(" not in o["target"] + o["source"]]
    assert {o["target"] for o in binds} <= {path for path, _ in hook_facts["mounts"]}
    assert {o["target"] for o in binds if o["writable"]} == {path for path in writable if not is_own(path)}


def is_own(target: str) -> bool:
    """Return whether a mount is the sandbox's own, or a directory of the call."""
    temporary = target.startswith(os.path.join(tempfile.gettempdir(), "tmp"))
    scratch = {path for path, _ in SCRATCH}
    return target in {"/", "/dev/pts", "/proc", *scratch} or temporary or target.startswith(("/proc/", "/."))
