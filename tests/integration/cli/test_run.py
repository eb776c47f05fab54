"""``isolated-hooks run``: exit codes, input, signals and the options."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.lanes import first_fast
from support.projects import CLI, WITH_PYTHON, clean_environ, command, contents, nothing_left, running
from support.together import commands, refused

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The directory in which commands run, which is their source tree."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def run(*arguments: str | Path, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return command("run", *arguments, cwd=cwd, **options)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners")
@pytest.mark.parametrize("launcher", first_fast(["native", "bubblewrap"]))
@pytest.mark.parametrize("owners", [(60997,), pytest.param((60997, 60998), marks=pytest.mark.slow)])
def test_the_first_call_of_a_process_has_a_tree_of_others(launcher: str, owners: tuple[int, ...], work: Path) -> None:
    """The trial of the host comes before it, under the identity for these owners. Later calls need no trial."""
    for owner in owners:
        path = work / str(owner)
        path.touch()
        os.chown(path, owner, owner)
    os.chown(work, owners[0], owners[0])
    options = ("--launcher", launcher, "--allow-degraded", "identity", "--allow-degraded", "privileges")
    done = run(*options, "--", "ls", cwd=work)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(owner) for owner in owners]


@pytest.mark.parametrize(
    ("argv", "code"),
    first_fast(
        [
            (["true"], 0),
            (["false"], 1),
            (["sh", "-c", "exit 77"], 77),
            (["sh", "-c", "exit 255"], 255),
            (["sh", "-c", "kill -TERM $$"], 143),
            (["sh", "-c", "kill -KILL $$"], 137),
            (["sh", "-c", "kill -SEGV $$"], 139),
            (["no-such-program"], 127),
            (["./no-such-program"], 127),
            (["./notes.txt"], 126),
            (["./sub"], 126),
            ([""], 127),
        ],
        6,
    ),
)
def test_the_exit_code(argv: list[str], code: int, work: Path, tmp_path: Path) -> None:
    (work / "notes.txt").write_text("not executable")
    (work / "sub").mkdir()
    with nothing_left(tmp_path):
        done = run("--", *argv, cwd=work)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert (done.stderr == "") is (code not in (126, 127))
    if argv[0].endswith("no-such-program"):
        assert argv[0] in done.stderr


def test_the_exit_code_of_a_time_limit(work: Path, tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        done = run("--time-limit", "0.5", "--", "sh", "-c", "sleep 600 & sleep 600", cwd=work)
    assert done.returncode == 124
    assert "0.5 seconds" in done.stderr


#: Wrong options, with what the error says.
WRONG = {
    (): "CMD",
    ("--",): "CMD",
    ("--no-such-option", "--", "touch", "ran"): "--no-such-option",
    ("--expose", "missing", "--", "touch", "ran"): "does not exist",
    ("--expose", "", "--", "touch", "ran"): "--expose: expected a path",
    ("--writable=", "touch", "ran"): "--writable: expected a path",
    ("--config", "missing.toml", "--", "touch", "ran"): "missing.toml",
}


def test_a_usage_error(work: Path, tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        ended = commands([("run", *options) for options in WRONG], work)
    refused(WRONG, ended)
    assert os.listdir(work) == []


def test_the_home_directory_is_refused_as_source_tree(work: Path) -> None:
    done = run("--", "touch", "ran", cwd=work, environ={"HOME": os.fspath(work)})
    assert done.returncode == 2
    assert "home directory" in done.stderr
    assert os.listdir(work) == []


@pytest.mark.parametrize("text", first_fast(["", "a line\n", "no end of line", "x" * 300_000], 2))
def test_input_passes(text: str, work: Path) -> None:
    done = run("--", "cat", cwd=work, input=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "")


def test_output_passes_on_its_own_descriptors(work: Path) -> None:
    done = run("--", "sh", "-c", "echo out; echo err >&2", cwd=work)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")


def test_a_reader_that_closes_the_pipe_ends_the_command(work: Path, tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        argv = [*CLI, "run", "--", "yes"]
        with subprocess.Popen(argv, cwd=work, env=clean_environ(), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"y\n"
            process.stdout.close()
            assert process.wait(60) == 128 + signal.SIGPIPE


def test_arguments_after_the_dashes_belong_to_the_command(work: Path) -> None:
    arguments = ["--network", "-v", "--help", "--", "--expose", "x", "--", "-q", "--time-limit=0"]
    done = run("--", "printf", "%s\\n", *arguments, cwd=work)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, arguments, "")
    done = run("-v", "--", "printf", "%s\\n", *arguments, cwd=work)
    assert done.stdout.splitlines() == arguments
    assert "in a sandbox" in done.stderr
    assert "network" in done.stderr.partition("active: ")[2]


@pytest.mark.slow
def test_arguments_after_the_command_belong_to_it(work: Path) -> None:
    """This holds without dashes too: none of them may give the command more access."""
    arguments = ["--network", "-la", "--", "--bad", "-v"]
    done = run("printf", "%s\n", *arguments, cwd=work)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, arguments, "")


def test_the_directory_is_the_source_tree(work: Path) -> None:
    done = run("--", "sh", "-c", 'pwd; echo text > made; echo "$HOME"; ls -A "$HOME" /tmp', cwd=work)
    assert done.stdout.splitlines()[0] == os.fspath(work)
    assert done.stdout.splitlines()[1] not in ("", os.path.expanduser("~"))
    assert contents(work) == {"made": b"text\n"}
    assert (work / "made").stat().st_uid == os.geteuid()


# The options.


@pytest.mark.slow
def test_the_options_for_paths(work: Path, tmp_path: Path) -> None:
    for name in ("seen", "written"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"in {name}\n")
    script = "cat ../seen/file ../written/file; echo new > ../seen/new; echo new > ../written/new; :"
    done = run("--", "sh", "-c", script, cwd=work)
    assert done.stdout == ""
    done = run("--expose", "../seen", "--writable", tmp_path / "written", "--", "sh", "-c", script, cwd=work)
    assert done.stdout == "in seen\nin written\n"
    assert sorted(contents(tmp_path)) == ["seen", "seen/file", "work", "written", "written/file", "written/new"]
    assert (tmp_path / "written" / "new").stat().st_uid == os.geteuid()
    options = ["--expose", "../seen", "--writable", "../written", "--hide", "../written"]
    done = run(*options, "--", "sh", "-c", script, cwd=work)
    assert done.stdout == "in seen\n"


@pytest.mark.slow
def test_a_hidden_path_within_the_source_tree_is_empty(work: Path) -> None:
    (work / "secret").mkdir()
    (work / "secret" / "file").touch()
    (work / "token").write_text("token")
    done = run("--hide", "secret", "--hide", "token", "--", "sh", "-c", "ls -A secret; cat token", cwd=work)
    assert done.stdout == ""
    assert (work / "token").read_text() == "token"


@pytest.mark.slow
def test_a_read_only_source_tree(work: Path) -> None:
    done = run("--source", "read-only", "--", "sh", "-c", "touch made", cwd=work)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert os.listdir(work) == []


def test_the_options_for_the_environment(work: Path) -> None:
    environ = {"OURS_A": "1", "OURS_B": "2", "CFLAGS": "-O1"}
    script = 'echo "$OURS_A,$OURS_B,$CFLAGS"'
    for options, shown in (
        ([], ",,-O1"),
        (["--env-keep", "OURS_A"], "1,,-O1"),
        (["--env-keep=OURS_*", "--env-delete", "CFLAGS"], "1,2,"),
    ):
        done = run(*options, "--", "sh", "-c", script, cwd=work, environ=environ)
        assert done.stdout == shown + "\n"


@pytest.mark.slow
def test_the_network(work: Path) -> None:
    code = "import socket, sys; print(socket.socket().connect_ex(('127.0.0.1', int(sys.argv[1]))))"
    with socket.create_server(("127.0.0.1", 0)) as server:
        argv = ["--", sys.executable, "-c", code, str(server.getsockname()[1])]
        assert run(*argv, cwd=work, environ=WITH_PYTHON).stdout == f"{errno.ECONNREFUSED}\n"
        assert run("--network", *argv, cwd=work, environ=WITH_PYTHON).stdout == "0\n"


# Signals.


@contextlib.contextmanager
def started(script: str, work: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start a shell script in the sandbox; when it has printed ``up``, yield its process and its TMPDIR."""
    temporary = tmp_path / "temporary"
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [*CLI, "run", "--", "sh", "-c", script],
        cwd=work,
        env=clean_environ(TMPDIR=os.fspath(temporary)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process, temporary
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("number", first_fast([signal.SIGTERM, signal.SIGKILL, signal.SIGHUP]))
def test_a_signal_to_the_program_ends_everything(number: int, work: Path, tmp_path: Path) -> None:
    with started("trap '' TERM HUP INT; echo up; while :; do sleep 600; done", work, tmp_path) as (process, temporary):
        process.send_signal(number)
        process.wait(60)
        assert process.returncode in (-number, 128 + number)
        assert process.stdout is not None
        assert process.stdout.read() == ""  # all processes that held the other end are dead
        assert running(temporary) == []
    # A killed program cannot remove its workspace; the next program does.
    done = run("--", "true", cwd=work, environ={"TMPDIR": os.fspath(temporary)})
    assert done.returncode == 0
    assert os.listdir(temporary) == []


def test_a_killed_launcher_is_a_failure(work: Path, tmp_path: Path) -> None:
    with started("echo up; sleep 600", work, tmp_path) as (process, temporary):
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            (launcher,) = map(int, file.read().split())
        os.kill(launcher, signal.SIGKILL)
        assert process.wait(60) == 128 + signal.SIGKILL
        assert os.listdir(temporary) == []


def test_an_interrupt_reaches_the_command_and_its_exit_code_the_caller(work: Path, tmp_path: Path) -> None:
    script = "trap 'echo asked; exit 9' INT; echo up; while :; do sleep 0.1; done"
    with started(script, work, tmp_path) as (process, temporary):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.stdout is not None
        assert process.stdout.read() == "asked\n"
        assert process.wait(60) == 9
        assert os.listdir(temporary) == []


def test_an_interrupt_ends_a_command_without_a_handler(work: Path, tmp_path: Path) -> None:
    with started("echo up; exec sleep 600", work, tmp_path) as (process, temporary):
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
        assert os.listdir(temporary) == []
