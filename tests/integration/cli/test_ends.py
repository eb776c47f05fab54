"""How every command ends, whatever the operator types and whatever the disk does: an exit code that it documents.

There is never a traceback, and never a wait for what does not come. The cases are a table of kinds, for each command.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.each import each
from support.lanes import fast, first_fast
from support.projects import CLI, cannot_run, clean_environ, nothing_left, write_project
from support.together import commands

pytestmark = pytest.mark.usefixtures("sandbox")

#: Each command, in its shortest form that does all its work, with {project} for a project.
COMMANDS = {
    "explain": "explain {project}",
    "doctor": "doctor",
    "run": "run -- true",
    "build": "build -n -w {project}",
    "build --metadata": "build -n --metadata {project}",
    "pip": "pip wheel --no-build-isolation --no-deps -w {base}/out {project}",
    "pip list": "pip list",
    "selftest": "selftest --list",
    "help": "--help",
}
CODES = {0, 1, 2, 3}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "base"
    write_project(base / "project")
    (base / "file").write_text("x")
    os.mkfifo(base / "fifo")
    with (base / "huge").open("wb") as file:
        file.truncate(10 << 30)
    (base / "hexadecimal.toml").write_text("limits = { processes = 0x" + "f" * 5000 + " }\n")
    (base / "dots.toml").write_text("a" + ".a" * 100_000 + " = 1\n")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(base)
        listener.bind("socket")
        os.chdir(here)
    return base


def ended(
    script: str, base: Path, *, codes: set[int], environ: Mapping[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a shell's command line, and check how it ended."""
    env = {**clean_environ(), **(environ or {})}
    with nothing_left(base.parent):
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=base,
            env={"TMPDIR": os.environ["TMPDIR"], **{name: value for name, value in env.items() if value is not None}},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=120,
            check=False,
        )
    return checked(done, codes=codes)


def all_ended(cases: Mapping[str, str], base: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    """Run a command for each case, and return how each ended."""
    argv = [words.format(base=base, project=base / "project").split(" ") for words in cases.values()]
    with nothing_left(base.parent):
        return dict(zip(cases, commands(argv, base), strict=True))


def checked(done: subprocess.CompletedProcess[str], *, codes: set[int]) -> subprocess.CompletedProcess[str]:
    """Check how a command ended, and return it."""
    said = done.stdout + done.stderr
    # A line of pip's own output, as build shows it, begins with "< ".
    assert not re.search(r"^(?!< ).*Traceback", said, re.MULTILINE), said
    assert "Exception ignored" not in said, said
    assert done.returncode in codes, (done.returncode, said)
    return done


def line(words: str, base: Path) -> str:
    return shlex.join([*CLI, *words.format(base=base, project=base / "project").split(" ")])


STREAMS = {
    "full output": ("> /dev/full", {0, 2, 3}),
    "full errors": ("2> /dev/full", {0, 1, 3}),
    "both full": ("> /dev/full 2> /dev/full", {0, 1, 2, 3}),
    "no input": ("<&-", {0}),
    "no output": (">&-", {0}),
    "no errors": ("2>&-", {0}),
    "no stream": ("<&- >&- 2>&-", {0}),
    "another input": ("< /dev/full", {0}),
}


@pytest.mark.parametrize("stream", fast(STREAMS, ["full output", "no stream"], slow=["full errors", "no output"]))
@pytest.mark.parametrize("command", fast(COMMANDS, ["explain", "help"], slow=["doctor", "run", "build"]))
def test_streams(command: str, stream: str, base: Path) -> None:
    redirection, codes = STREAMS[stream]
    done = ended(f"{line(COMMANDS[command], base)} {redirection}", base, codes=codes)
    if stream == "full output" and command in ("explain", "doctor", "help"):
        assert done.returncode in (2, 3)
        assert re.fullmatch(r"ERROR .*No space left on device\. Remedy: .*\n", done.stderr)


ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "no home": {"HOME": None},
    "a relative home": {"HOME": "../x"},
    "no PATH": {"PATH": None},
    "a long TMPDIR": {"TMPDIR": "/" + "x" * 16384},
    "a deep TMPDIR": {"TMPDIR": "/x" * 2000},
    "a relative TMPDIR": {"TMPDIR": "nowhere"},
    "a TMPDIR that is a file": {"TMPDIR": "/etc/passwd"},
    "a TMPDIR that is no text": {"TMPDIR": "/\udcff"},
    "locale C": {"LC_ALL": "C"},
    "ASCII alone": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:strict"},
}


@pytest.mark.parametrize(
    "environment", fast(ENVIRONMENTS, ["a long TMPDIR", "ASCII alone"], slow=["no home", "a relative TMPDIR"])
)
@pytest.mark.parametrize("command", fast(COMMANDS, ["explain", "run"], slow=["build"]))
def test_environments(command: str, environment: str, base: Path) -> None:
    ended(line(COMMANDS[command], base), base, codes={0}, environ=ENVIRONMENTS[environment])


@pytest.mark.parametrize("command", fast(COMMANDS, ["explain"], slow=["run", "build"]))
def test_a_directory_that_is_gone(command: str, base: Path) -> None:
    script = f'mkdir gone && cd gone && rmdir "$PWD" && {line(COMMANDS[command], base)}'
    done = ended(script, base, codes={0} if command == "help" else {2})
    assert command == "help" or "the current directory is unusable" in done.stderr


@pytest.mark.parametrize("command", fast(COMMANDS, ["explain"], slow=["run", "build"]))
def test_arguments_that_are_no_text_and_very_many(command: str, base: Path) -> None:
    for arguments in (["\udcff\udcfe"], ["x" * 1000] * 100):
        ended(f"{line(COMMANDS[command], base)} {shlex.join(arguments)}", base, codes=CODES)


#: Options that every command has, each with what its error says.
OPTIONS = {
    "--config {base}/fifo": "nothing came from the pipe",
    "--config {base}/huge": "too large",
    "--config {base}/socket": "cannot be read",
    "--config {base}": "cannot be read",
    "--config {base}/missing": "cannot be read",
    "--config {base}/dots.toml": "too many dots",
    "--config {base}/hexadecimal.toml": "too large to print",
    "--config /dev/zero": "too large",
    "--limit wall-time=x": "--limit wall-time: expected",
    "--limit wall-time=1e400": "--limit wall-time: expected",
    "--limit memory=8Q": "--limit memory: expected",
    "--limit nosuch=1": "--limit: unknown key 'nosuch'",
    "--limit x": "--limit: expected NAME=VALUE",
    "--time-limit x": "--time-limit: expected",
    "--time-limit -1": "--time-limit: expected",
    "--launcher ?": "launcher: expected",
    "--package x": "add --config",
}


@pytest.mark.parametrize("command", first_fast(["explain", "doctor", "run", "build", "pip", "selftest"]))
def test_wrong_options_are_errors_of_one_spelling(command: str, base: Path) -> None:
    first, *rest = COMMANDS[command].split(" ")
    done = all_ended({option: " ".join([first, option, *rest]) for option in OPTIONS}, base)

    def check(option: str) -> None:
        stderr = checked(done[option], codes={2}).stderr
        assert OPTIONS[option] in stderr, stderr
        assert done[option].stdout == ""
        assert stderr.startswith("ERROR "), stderr
        assert len(stderr.splitlines()) == 1, stderr

    each(OPTIONS, check)


#: Wrong arguments of single commands, each with its code and what its error says.
WRONG = {
    "explain {base}/fifo": (2, "not a directory"),
    "explain {base}/socket": (2, "not a directory"),
    "explain {base}/missing": (2, "not a directory"),
    "explain --python  {project}": (2, "interpreter"),
    "run --expose {base}/missing -- true": (2, "does not exist"),
    "run -- {base}/fifo": (126, "fifo"),
    "build -n -w {base}/fifo": (1, "not a directory"),
    "build -n -w {base}/socket": (1, "not a directory"),
    "build -n -w -o {base}/file {project}": (1, "not a directory"),
    "build -n -w -o {base}/file/x {project}": (1, "x"),
    "build -n -w -o /proc/x {project}": (1, "/proc/x"),
    "build -n -w --report {base} {project}": (2, "--report"),
    "build -n -w --report {base}/fifo {project}": (2, "--report"),
    "build -n -w --report {base}/missing/x {project}": (2, "--report"),
    "build -w --dependency-constraints-txt {base}/fifo {project}": (2, "--dependency-constraints-txt"),
    "build -n --sdist-extract-dir {base}/file {project}": (2, "file"),
    "build -w --env-dir {base} {project}": (1, "not empty"),
    "build -n -w --config-json " + "[" * 5000 + " {project}": (2, "--config-json"),
    "pip --pip {base}/fifo list": (2, "there is no pip"),
}


@pytest.mark.parametrize("command", first_fast(["explain", "run", "build", "pip"]))
def test_wrong_arguments(command: str, base: Path) -> None:
    cases = {words: words for words in WRONG if words.split(" ")[0] == command}
    done = all_ended(cases, base)

    def check(words: str) -> None:
        code, text = WRONG[words]
        assert text in checked(done[words], codes={code}).stderr, done[words].stderr

    each(cases, check)


# A disk that is full, in a mount namespace of the test's own.


def in_mounts(script: str, base: Path) -> str:
    """Return a command line that runs a script where it may mount, or skip the test."""
    unshare = shutil.which("unshare")
    options = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    mounting = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(base / "small")]
    (base / "small").mkdir()
    if unshare is None or subprocess.run([unshare, *options, *mounting], capture_output=True, check=False).returncode:
        cannot_run("nothing can be mounted here")
    return shlex.join([unshare, *options, "sh", "-c", script])


DISKS = {
    "hardly any space": "size=16k",
    "some space": "size=64k",
    "hardly any file": "nr_inodes=5",
    "some files": "nr_inodes=20",
}


@pytest.mark.parametrize("disk", fast(DISKS, ["hardly any space"]))
@pytest.mark.parametrize("command", fast([*COMMANDS, "isolated", "selftest in full"], ["build"], slow=["isolated"]))
def test_temporary_files_on_a_full_disk(command: str, disk: str, base: Path) -> None:
    words = {"isolated": "build -w {project}", "selftest in full": "selftest", **COMMANDS}[command]
    mount = f"mount -t tmpfs -o {DISKS[disk]} tmpfs {shlex.quote(str(base / 'small'))}"
    script = f"{mount} && export TMPDIR={shlex.quote(str(base / 'small'))} && {line(words, base)}"
    ended(in_mounts(script, base), base, codes=CODES)


@pytest.mark.parametrize("disk", fast([*DISKS.values(), "size=16k,ro"], ["nr_inodes=5"]))
@pytest.mark.parametrize("words", ["build -n -w -o {base}/small {project}", "build -n -s -o {base}/small {project}"])
def test_results_for_a_full_disk(words: str, disk: str, base: Path) -> None:
    small = shlex.quote(str(base / "small"))
    fill = f"mount -t tmpfs -o {disk} tmpfs {small} && head -c 100000 /dev/zero 2>/dev/null > {small}/fill"
    done = ended(in_mounts(f"{fill}; {line(words, base)}", base), base, codes={0, 1, 2, 3})
    assert done.returncode or "ERROR" not in done.stderr


# Interrupts


def test_an_interrupt_at_the_very_end_prints_no_traceback(tmp_path: Path) -> None:
    code = (
        "import atexit, os, signal, sys; sys.argv = ['isolated-hooks', '--version']\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "from isolated_hooks.cli import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


# Errors that nobody has foreseen


def test_a_bug_is_one_line_and_names_its_place_and_a_remedy(tmp_path: Path) -> None:
    code = (
        "import sys; from isolated_hooks import cli; from isolated_hooks.cli import explain\n"
        "def main(_): raise ZeroDivisionError('a bug')\n"
        "explain.main = main; sys.exit(cli.main(['explain']))"
    )
    for environ, traceback in (({}, False), ({"ISOLATED_HOOKS_TRACEBACK": "1"}, True)):
        env = {**clean_environ(), **environ}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
        assert ("Traceback" in done.stderr) is traceback
        if not traceback:
            assert done.returncode == 3
            assert re.fullmatch(
                r"ERROR internal error: ZeroDivisionError: a bug \(.*:\d+\)\. Remedy: .*\n", done.stderr
            )
