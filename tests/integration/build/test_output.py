"""The output of hooks through ``isolated-hooks build``: filtered at once, and left alone by a frontend's own runner."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.lanes import first_fast
from support.projects import CLI, WHEEL, WITH_PYTHON, caller, clean_environ, command, plain_caller, write_project

pytestmark = pytest.mark.usefixtures("sandbox")

_HOSTILE = r"""
import sys

_PRINTED = (
    "\x1b]0;title\x07 \x1b[31mred\x1b[0m \u202egnp.exe\n"
    "::set-env name=PATH::/evil\n 50 %\r::add-path::/evil\ntext ##vso[task.setvariable variable=A]b\n"
)

def get_requires_for_build_wheel(config_settings=None):
    os.write(1, _PRINTED.encode())
    os.write(2, _PRINTED.encode() + b"no line feed")
    return []
"""
_COMMANDS = ("\n::set-env", "::add-path", "##vso[")


def _build(project: Path, *options: str, **named: str) -> subprocess.CompletedProcess[str]:
    arguments = ("build", str(project), "-o", str(project.parent / "out"), "--wheel", "--no-isolation")
    return command(*arguments, *options, environ={**WITH_PYTHON, **named})


def test_nothing_that_a_hook_prints_is_obeyed(tmp_path: Path) -> None:
    done = _build(write_project(tmp_path / "project", extra=_HOSTILE))
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, done.stderr):
        assert "\\x1b]0;title\\x07 \x1b[31mred\x1b[0m \\u202egnp.exe\n" in text
        assert "\n:\\x3aset-env name=PATH::/evil\n 50 %\n:\\x3aadd-path" in text  # read with universal newlines
        assert "text ##vso\\x5btask.setvariable variable=A]b\n" in text
        assert not any(order in text for order in _COMMANDS)
    assert "\nno line feed\n" in done.stderr  # what build says next begins a line


def test_raw_output_turns_it_off(tmp_path: Path) -> None:
    done = _build(write_project(tmp_path / "project", extra=_HOSTILE), "--raw-output")
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, done.stderr):
        assert "\x1b]0;title\x07" in text
        assert all(order in text for order in _COMMANDS)


@pytest.mark.parametrize("sandboxed", [True, False])
def test_a_frontend_s_own_runner_gets_what_the_hook_wrote(tmp_path: Path, sandboxed: bool) -> None:
    """H08, H09: stock passes them on, and so does the library: it is the frontend's stream."""
    project = write_project(tmp_path / "project", extra=_HOSTILE)
    said: list[bytes] = []

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: object = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}  # type: ignore[dict-item]
        said.append(subprocess.run(cmd, cwd=cwd, env=environ, stdout=subprocess.PIPE, check=True).stdout)

    make = caller if sandboxed else plain_caller
    make(project, runner=runner).get_requires_for_build_wheel()
    assert b"\x1b]0;title\x07" in said[0]
    assert all(order.encode() in said[0] for order in _COMMANDS)


def test_the_text_that_a_hook_fails_with_is_no_command_either(tmp_path: Path) -> None:
    """H08, H09: what this package itself tells of a hook: here the traceback of a backend that cannot be imported."""
    raising = 'raise ImportError("\\n::set-env name=A::b\\n##vso[x]\\x1b]0;title\\x07")'
    project = write_project(tmp_path / "project", extra=raising)
    done = _build(project)
    assert done.returncode == 1
    for text in (done.stdout, done.stderr):
        assert not any(order in text for order in (*_COMMANDS, "\x1b]0"))
    assert ":\\x3aset-env" in done.stdout + done.stderr


def test_both_streams_keep_their_order_where_they_are_one(tmp_path: Path) -> None:
    printing = """
def get_requires_for_build_wheel(config_settings=None):
    for number in range(100):
        os.write(1 + number % 2, b"%d:" % number)
    os.write(1, b"\\n:")
    os.write(2, b":group::x\\n")
    return []
"""
    project = write_project(tmp_path / "project", extra=printing)
    argv = [*CLI, "build", str(project), "-o", str(tmp_path / "out"), "--wheel", "--no-isolation"]
    environ = clean_environ(**WITH_PYTHON)
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ, check=False)
    assert done.returncode == 0, done.stdout
    assert "".join(f"{number}:" for number in range(100)).encode() + b"\n:\\x3agroup::x\n" in done.stdout


def test_what_a_hook_prints_is_seen_while_it_runs(tmp_path: Path) -> None:
    """The hook waits until the test has seen what it printed."""
    printing = """
def get_requires_for_build_wheel(config_settings=None):
    print("first", end="")
    while not os.path.exists(os.path.join(HERE, "seen")):
        time.sleep(0.01)
    return []
"""
    project = write_project(tmp_path / "project", extra=printing)
    argv = [*CLI, "build", str(project), "-o", str(tmp_path / "out"), "--wheel", "--no-isolation"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environ(**WITH_PYTHON)
    ) as build:
        assert build.stdout is not None
        said = b""
        while b"first" not in said:
            piece = os.read(build.stdout.fileno(), 1024)
            assert piece, said
            said += piece
        (project / "seen").touch()
        build.stdout.read()
    assert build.returncode == 0


def test_on_a_terminal_the_hook_does_not_get_the_terminal(tmp_path: Path) -> None:
    asking = """
def get_requires_for_build_wheel(config_settings=None):
    os.write(1, b"isatty %r %r" % (os.isatty(1), os.isatty(2)))
    return []
"""
    project = write_project(tmp_path / "project", extra=asking)
    argv = [*CLI, "build", str(project), "-o", str(tmp_path / "out"), "--wheel", "--no-isolation"]
    ours, theirs = pty.openpty()
    said: list[bytes] = []

    def watch() -> None:
        try:
            while piece := os.read(ours, 4096):
                said.append(piece)
        except OSError:
            pass  # EIO: the other end is closed

    watcher = threading.Thread(target=watch)
    with subprocess.Popen(argv, stdout=theirs, stderr=theirs, stdin=theirs, env=clean_environ(**WITH_PYTHON)) as build:
        os.close(theirs)
        watcher.start()
        assert build.wait(60) == 0
    watcher.join(60)
    os.close(ours)
    assert b"isatty False False" in b"".join(said)


def test_a_reader_that_has_had_enough_is_known_to_the_hook(tmp_path: Path) -> None:
    printing = """
def get_requires_for_build_wheel(config_settings=None):
    try:
        for _ in range(100):
            os.write(1, b"x" * 65536)
    except OSError as error:
        tell(error=error.errno)
    return []
"""
    project = write_project(tmp_path / "project", extra=printing)
    ours, theirs = os.pipe()
    os.close(ours)
    argv = [*CLI, "build", str(project), "-o", str(tmp_path / "out"), "--wheel", "--no-isolation"]
    environ = clean_environ(**WITH_PYTHON)
    with subprocess.Popen(argv, stdout=theirs, stderr=subprocess.PIPE, env=environ) as build:
        os.close(theirs)
        build.communicate(timeout=60)
    assert "32" in (project / "facts.jsonl").read_text()  # EPIPE, as without us


@pytest.mark.parametrize("closed", first_fast(["1", "2"]))
def test_a_stream_that_is_closed_changes_nothing_for_the_others(tmp_path: Path, closed: str) -> None:
    """It is built, as by any program of the system; ``python -m build`` fails where Python has no stdout."""
    project = write_project(tmp_path / "project", extra=_HOSTILE)
    argv = [*CLI, "build", str(project), "-o", str(tmp_path / "out"), "--wheel", "--no-isolation"]
    script = ["sh", "-c", f'"$@" {closed}>&-', "sh", *argv]
    done = subprocess.run(script, capture_output=True, env=clean_environ(**WITH_PYTHON), check=False)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]
    assert not any(order.encode() in done.stdout + done.stderr for order in _COMMANDS)


@pytest.mark.parametrize("raw", first_fast([False, True]))
@pytest.mark.parametrize("key", first_fast(["requires", "build-backend"]))
def test_what_the_frontend_says_of_the_source_tree_is_no_command(tmp_path: Path, key: str, raw: bool) -> None:
    """build shows what pyproject.toml says, and the one that a wheel is built from is in an sdist that a hook made."""
    project = write_project(tmp_path / "project")
    keys = {"requires": "[]", "build-backend": '"hostile"', "backend-path": '["."]'}
    text = r'"\u001b]0;title\u0007\u202e##vso[task]\n::set-env name=A::b"'
    keys[key] = f"[{text}]" if key == "requires" else text
    lines = "\n".join(f"{name} = {value}" for name, value in keys.items())
    (project / "pyproject.toml").write_text(f"[build-system]\n{lines}\n")
    arguments = ("build", str(project), "-o", str(tmp_path / "out"), "--wheel", *(["--raw-output"] if raw else []))
    done = command(*arguments, environ=WITH_PYTHON)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    # Raw output or not, a requirement of no accepted form is refused, and shown as an escape.
    assert "##vso\\x5btask]" in said or (raw and key == "build-backend")
    if not raw or key == "requires":
        assert "\x1b" not in said
        assert not any(order in said.replace("\n ", "\n").replace("\n ", "\n") for order in _COMMANDS)
