"""Interrupts while the command line is imported, readers that have gone, and closed streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

# Interrupts itself when Python looks for a named module.
_START = """
import os, signal, sys
del sys.argv[0]
class Finder:
    def find_spec(name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder)
signal.signal(signal.SIGINT, signal.default_int_handler)
from isolated_hooks.cli import main
sys.exit(main(["explain"]))
"""


def _started_as(program: str, interrupted_at: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", _START, program, interrupted_at]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["isolated_hooks.lazily", "isolated_hooks.errors", "isolated_hooks.cli"])
def test_an_interrupt_during_the_import_ends_the_command_silently(module: str) -> None:
    done = _started_as("/usr/bin/isolated-hooks", module)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_an_interrupt_during_the_import_of_a_command_is_reported() -> None:
    done = _started_as("/usr/bin/isolated-hooks", "isolated_hooks.cli.explain")
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_interrupts_of_another_program_stay_unchanged() -> None:
    assert "KeyboardInterrupt" in _started_as("/usr/bin/other", "isolated_hooks.lazily").stderr


def test_an_ignored_interrupt_stays_ignored() -> None:
    code = (
        "import signal, sys; sys.argv = ['isolated-hooks']; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from isolated_hooks import cli, startup; startup.raise_interrupts()\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", ["--version", "--help", "nope"])
def test_a_closed_pipe_causes_no_traceback(command: str) -> None:
    read, write = os.pipe()
    os.close(read)
    argv = [sys.executable, "-m", "isolated_hooks", command]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    stream, other = ("stderr", "stdout") if command == "nope" else ("stdout", "stderr")
    done = subprocess.run(argv, check=False, env=environ, **{stream: write, other: subprocess.PIPE})
    os.close(write)
    # A message that nobody reads changes no exit code.
    assert (done.returncode, done.stdout or b"", done.stderr or b"") == (2 if command == "nope" else 1, b"", b"")


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_closed_streams_change_no_exit_code(closed: str) -> None:
    close = " ".join(f"{number}>&-" for number in closed)
    script = f'"$1" -m isolated_hooks --version {close}; a=$?; "$1" -m isolated_hooks nope {close}; echo "$a $?"'
    done = subprocess.run(["sh", "-c", script, "sh", sys.executable], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0 2"
    assert "Traceback" not in done.stderr
