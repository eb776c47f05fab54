"""The frontend's own runner works as before: its errors, exit codes, output, and the commands that it wraps."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.lanes import first_fast
from support.projects import WHEEL, caller, facts, nothing_left, outcome, plain_caller, running, write_project

from isolated_hooks import HookProcessError, UntrustedResultError
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

Command = Sequence[str]
Variables = Mapping[str, str] | None


def hook_that(code: str) -> str:
    """Return a hook that runs some code."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    return f"def get_requires_for_build_wheel(config_settings=None):\n{body}\n    return []\n"


FAILURES = {
    "exception": "raise RuntimeError('from the backend')",
    "exit 1": "sys.exit(1)",
    "exit 3": "os._exit(3)",
    "exit 255": "os._exit(255)",
    "segfault": "import signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "abort": "os.abort()",
    "killed": "import signal; os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "import signal; os.kill(os.getpid(), signal.SIGTERM)",
    "interrupted": "import signal; signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), 2)",
    "real-time signal": "os.kill(os.getpid(), 40)",
}
CODES = {"exit 3": 3, "exit 255": 255, "segfault": -11, "abort": -6, "killed": -9, "terminated": -15, "interrupted": -2}


@pytest.mark.parametrize("failure", first_fast(FAILURES, 3))
def test_an_error_of_the_inner_runner_passes_through(failure: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=hook_that(FAILURES[failure]))
    raised: list[subprocess.CalledProcessError] = []

    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        try:
            pyproject_hooks.quiet_subprocess_runner(cmd, cwd, extra_environ)
        except subprocess.CalledProcessError as error:
            raised.append(error)
            raise

    with pytest.raises(subprocess.CalledProcessError) as plain:
        plain_caller(project, runner=runner).get_requires_for_build_wheel()
    hooks = caller(project, runner=runner)
    with nothing_left(tmp_path), pytest.raises(subprocess.CalledProcessError) as caught:
        hooks.get_requires_for_build_wheel()
    assert caught.value is raised[-1]
    assert caught.value.__cause__ is None
    assert caught.value.returncode == plain.value.returncode == CODES.get(failure, plain.value.returncode)
    assert hooks.reports[0].returncode == caught.value.returncode
    assert hooks.reports[0].error


def test_an_error_of_any_other_class_passes_through(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    problem = LookupError("a runner of their own")

    def runner(*_: object, **__: object) -> None:
        raise problem

    with nothing_left(tmp_path), pytest.raises(LookupError) as caught:
        caller(project, runner=runner).get_requires_for_build_wheel()
    assert caught.value is problem
    assert facts(project) == []


def test_an_error_of_the_runner_after_a_successful_hook_passes_through(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    problem = OSError("the log file is full")

    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        pyproject_hooks.quiet_subprocess_runner(cmd, cwd, extra_environ)
        raise problem

    with nothing_left(tmp_path), pytest.raises(OSError, match="log file") as caught:
        caller(project, runner=runner).build_wheel(os.fspath(tmp_path / "out"))
    assert caught.value is problem
    assert not (tmp_path / "out").exists()


def test_a_runner_that_does_not_raise_does_not_hide_a_failure(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=hook_that("os._exit(7)"))

    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        subprocess.run(cmd, cwd=cwd, env={**os.environ, **(extra_environ or {})}, check=False)

    with nothing_left(tmp_path), pytest.raises(HookProcessError) as caught:
        caller(project, runner=runner).get_requires_for_build_wheel()
    assert caught.value.returncode == 7


def test_a_keyboard_interrupt_in_the_runner_passes_through_and_ends_the_hook(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=hook_that("print('up', flush=True); time.sleep(600)"))

    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        with subprocess.Popen(cmd, cwd=cwd, env=environ, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()  # as subprocess.run does for any exception
            raise KeyboardInterrupt

    with nothing_left(tmp_path), pytest.raises(KeyboardInterrupt):
        caller(project, runner=runner).get_requires_for_build_wheel()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("raise ImportError('half a backend')", pyproject_hooks.BackendUnavailable),
        ("class UnsupportedOperation(Exception): pass\ndef build_sdist(*_): raise UnsupportedOperation('no')", None),
        ("del build_sdist", subprocess.CalledProcessError),
    ],
)
def test_pyproject_hooks_raises_the_same(code: str, kind: type[Exception] | None, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=code)
    plain, ours = (
        outcome(hooks.build_sdist, os.fspath(tmp_path / "out"))
        for hooks in (plain_caller(project), caller(project, runner=pyproject_hooks.quiet_subprocess_runner))
    )
    assert ours[0] is plain[0] is (kind or pyproject_hooks.UnsupportedOperation)
    if kind is not subprocess.CalledProcessError:  # its message contains the command
        assert ours[1] == plain[1]


def test_the_text_of_an_unavailable_backend_is_the_same(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra="raise ImportError('half a backend')")
    errors = []
    for hooks in (plain_caller(project), caller(project)):
        with pytest.raises(pyproject_hooks.BackendUnavailable) as caught:
            hooks.get_requires_for_build_wheel()
        errors.append(caught.value)
    assert errors[0].traceback == errors[1].traceback
    assert "half a backend" in errors[1].traceback
    assert vars(errors[0]) == vars(errors[1])


def test_output_reaches_a_runner_that_captures_it(tmp_path: Path) -> None:
    code = (
        "print('to stdout'); print('to stderr', file=sys.stderr); sys.stdout.flush(); subprocess.run(['echo', 'child'])"
    )
    project = write_project(tmp_path / "project", extra=hook_that(code))
    captured: list[subprocess.CompletedProcess[bytes]] = []

    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        captured.append(subprocess.run(cmd, cwd=cwd, env=environ, capture_output=True, check=True))

    for hooks in (plain_caller(project, runner=runner), caller(project, runner=runner)):
        hooks.get_requires_for_build_wheel()
    assert captured[1].stdout == captured[0].stdout == b"to stdout\nchild\n"
    assert captured[1].stderr == captured[0].stderr == b"to stderr\n"


def test_output_reaches_the_quiet_runner_of_pyproject_hooks(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=hook_that("raise RuntimeError('from the backend')"))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        caller(project, runner=pyproject_hooks.quiet_subprocess_runner).get_requires_for_build_wheel()
    assert b"RuntimeError: from the backend" in caught.value.output


def test_output_reaches_a_file_and_the_inherited_descriptors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = write_project(tmp_path / "project", extra=hook_that("print('loud', flush=True)"))
    caller(project).get_requires_for_build_wheel()
    assert capfd.readouterr().out == "loud\n"
    log = tmp_path / "build.log"

    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        with open(log, "ab") as file:
            subprocess.run(cmd, cwd=cwd, env={**os.environ, **(extra_environ or {})}, stdout=file, check=True)

    caller(project, runner=runner).get_requires_for_build_wheel()
    assert log.read_text() == "loud\n"


def test_a_lot_of_output_passes(tmp_path: Path) -> None:
    code = "for _ in range(40000): print('x' * 99)\nsys.stdout.flush()\nprint('e' * 300000, file=sys.stderr)"
    project = write_project(tmp_path / "project", extra=hook_that(code))
    sizes: list[tuple[int, int]] = []

    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        done = subprocess.run(cmd, cwd=cwd, env=environ, capture_output=True, check=True)
        sizes.append((len(done.stdout), len(done.stderr)))

    caller(project, runner=runner).get_requires_for_build_wheel()
    assert sizes == [(4_000_000, 300_001)]


def test_a_daemon_that_holds_stdout_does_not_block_the_runner(tmp_path: Path) -> None:
    code = "if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)"
    project = write_project(tmp_path / "project", extra=hook_that(code))
    with nothing_left(tmp_path):
        caller(project, runner=pyproject_hooks.quiet_subprocess_runner).get_requires_for_build_wheel()


# Runners that wrap the command.

WRAPPERS = {
    "env": lambda cmd: ["env", *cmd],
    "env with a variable": lambda cmd: ["env", "ADDED=1", *cmd],
    "a shell that stays": lambda cmd: ["sh", "-c", '"$@"; exit $?', "sh", *cmd],
    "a shell that goes": lambda cmd: ["sh", "-c", 'exec "$@"', "sh", *cmd],
    "nice": lambda cmd: ["nice", "-n", "1", *cmd],
    "two": lambda cmd: ["nice", "sh", "-c", '"$@"; exit $?', "sh", "env", *cmd],
}


@pytest.mark.parametrize("wrapper", first_fast(WRAPPERS, 2))
def test_a_runner_that_wraps_the_command(wrapper: str, tmp_path: Path) -> None:
    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        pyproject_hooks.quiet_subprocess_runner(WRAPPERS[wrapper](cmd), cwd, extra_environ)

    project = write_project(tmp_path / "project", extra=hook_that("os._exit(5)"))
    hooks = caller(project, runner=runner)
    with nothing_left(tmp_path):
        assert hooks.build_wheel(os.fspath(tmp_path / "out")) == WHEEL
        with pytest.raises(subprocess.CalledProcessError) as caught:
            hooks.get_requires_for_build_wheel()
    assert caught.value.returncode == 5


def test_the_hook_ends_with_a_killed_wrapper(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=hook_that("print('up', flush=True); time.sleep(600)"))

    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        wrapped = ["sh", "-c", '"$@"; exit $?', "sh", *cmd]
        with subprocess.Popen(wrapped, cwd=cwd, env=environ, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
            process.wait()
        raise subprocess.CalledProcessError(-signal.SIGKILL, wrapped)

    # The launcher lives on for a moment, and it is the kernel that ends it.
    with nothing_left(tmp_path, at_once=False), pytest.raises(subprocess.CalledProcessError):
        caller(project, runner=runner).get_requires_for_build_wheel()


def test_a_killed_launcher_is_a_failure(tmp_path: Path) -> None:
    # The hook has already written its results, and the runner raises no error.
    code = """
import json
with open(sys.argv[2] + "/output.json", "w") as file:
    json.dump({"return_val": []}, file)
print("up", flush=True)
time.sleep(600)
"""
    project = write_project(tmp_path / "project", extra=hook_that(code))

    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        with subprocess.Popen(cmd, cwd=cwd, env=environ, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()

    with nothing_left(tmp_path), pytest.raises(HookProcessError):
        caller(project, runner=runner).get_requires_for_build_wheel()


def test_a_runner_may_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def runner(cmd: Command, cwd: str | None = None, extra_environ: Variables = None) -> None:
        logging.getLogger("frontend").warning("running %s in %s", cmd[0], cwd)
        pyproject_hooks.quiet_subprocess_runner(cmd, cwd, extra_environ)

    project = write_project(tmp_path / "project")
    caller(project, runner=runner).get_requires_for_build_wheel()
    assert caplog.messages == [f"running {sys.executable} in {project}"]


# Many calls at once, a killed frontend, and a wrong answer.


@pytest.mark.slow
def test_sixteen_hooks_at_once_from_threads(tmp_path: Path) -> None:
    projects = [write_project(tmp_path / f"project{n}", extra=f"WHICH = {n}") for n in range(4)]
    results: list[Any] = []

    def build(project: Path) -> None:
        out = project.parent / f"out-{threading.get_ident()}-{project.name}"
        results.append(outcome(caller(project).build_wheel, os.fspath(out)))

    with nothing_left(tmp_path):
        threads = [threading.Thread(target=build, args=(project,)) for project in projects * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [WHEEL] * 16
    assert [len(facts(project)) for project in projects] == [4] * 4


def test_everything_ends_with_a_killed_frontend(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=hook_that("print('up', flush=True); time.sleep(600)"))
    code = (
        "import sys\nfrom isolated_hooks import IsolatedHookCaller\n"
        "IsolatedHookCaller(sys.argv[1], 'backend', ['.']).get_requires_for_build_wheel()"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", code, project],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": os.fspath(temporary)},
    )
    assert process.stdout is not None
    with process.stdout as stdout:
        assert stdout.readline() == b"up\n"
        process.kill()
        process.wait()
        assert stdout.read() == b""  # no process holds the other end: the hook and the launcher are dead
    # The process that was ready for the next launch sees the end of the frontend, too.
    assert until(lambda: running(temporary) == [])


def test_an_answer_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=hook_that("return ['-r /etc/hostname']"))
    with nothing_left(tmp_path), pytest.raises(UntrustedResultError, match="dependency specifier"):
        caller(project).get_requires_for_build_wheel()
