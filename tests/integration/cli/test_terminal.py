"""``isolated-hooks run`` on a terminal: a shell gets its own terminal, and the caller's stays unchanged."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.projects import CLI, WITH_PYTHON, cannot_run, clean_environ, nothing_left, running

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The directory in which commands run, which is their source tree."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


class Terminal:
    """A terminal that runs ``isolated-hooks run``, as a user would."""

    def __init__(self, argv: list[str], tmp_path: Path, *, rows: int = 31, columns: int = 101) -> None:
        self.temporary = tmp_path / "temporary"
        self.temporary.mkdir(exist_ok=True)
        environ = clean_environ(**WITH_PYTHON, TMPDIR=os.fspath(self.temporary), TERM="dumb")
        self.seen = ""
        self.code: int | None = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(tmp_path / "work")
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execve(sys.executable, [*CLI, "run", *argv], environ)
            finally:
                os._exit(99)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def _more(self) -> bool:
        ready, _, _ = select.select([self.fd], [], [], 20)
        data = b""
        with contextlib.suppress(OSError):  # EIO: no process has the other end open, pty(7)
            data = os.read(self.fd, 65536) if ready else b""
        self.seen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the output contains a match, drop the output up to its end, and return it."""
        while (match := re.search(pattern, self.seen)) is None:
            assert self._more(), f"{pattern!r} did not appear in {self.seen!r}"
        self.seen = self.seen[match.end() :]
        return match

    def end(self) -> int:
        """Wait for the program to end, check that it left nothing, and return its exit code."""
        while self._more():
            pass
        self._reap()
        assert self.code != -signal.SIGKILL, f"the program did not end; its output: {self.seen!r}"
        assert running(self.temporary) == []
        assert os.listdir(self.temporary) == []
        return self.code or 0

    def _reap(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.code is None and not os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                os.kill(self.pid, signal.SIGKILL)
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        self._reap()


@pytest.fixture
def shell(work: Path) -> Iterator[Terminal]:
    """An interactive bash in the sandbox, at its prompt."""
    bash = shutil.which("bash")
    if bash is None:
        cannot_run("bash is not installed")
    with Terminal(["--", bash, "--norc", "--noprofile", "--noediting", "-i"], work.parent) as terminal:
        terminal.wait_for(r"\$ $")
        terminal.type("PS1='ready> '\n")
        terminal.wait_for(r"\nready> $")
        yield terminal


def test_a_shell_has_a_terminal_of_its_own(shell: Terminal) -> None:
    shell.type("test -t 0 && test -t 1 && test -t 2 && echo all-of-them\n")
    shell.wait_for(r"(\n|> )all-of-them\n")
    shell.type("echo written > /dev/tty\n")
    shell.wait_for(r"(\n|> )written\n")
    shell.type("exit 3\n")
    assert shell.end() == 3


def test_the_terminal_of_a_shell_has_a_name(shell: Terminal) -> None:
    shell.type("tty\n")
    assert shell.wait_for(r"(?:\n|> )(/dev/\S+|not a tty)\n").group(1).startswith("/dev/")
    shell.type("exit\n")
    assert shell.end() == 0


def test_a_shell_has_job_control(shell: Terminal) -> None:
    shell.type("cat\none\n")
    for _ in range(2):  # the terminal's echo, and the program's own
        shell.wait_for(r"one\n")
    shell.type("\x1a")
    shell.wait_for(r"Stopped +cat\n")
    shell.type("jobs\n")
    shell.wait_for(r"Stopped +cat\n")
    shell.type("fg\ntwo\n")
    for _ in range(2):  # in the foreground again
        shell.wait_for(r"two\n")
    shell.type("\x03")
    shell.wait_for(r"ready> $")
    shell.type("echo status $?\n")
    shell.wait_for(r"(\n|> )status 130\n")
    shell.type("\x04")  # the end of the input ends the shell
    assert shell.end() == 0


def test_a_shell_knows_the_size_of_the_window(shell: Terminal) -> None:
    shell.type("stty size\n")
    shell.wait_for(r"(\n|> )31 101\n")
    fcntl.ioctl(shell.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 7, 43, 0, 0))
    shell.type("until [ \"$(stty size)\" = '7 43' ]; do sleep 0.1; done; echo followed\n")
    shell.wait_for(r"(\n|> )followed\n")
    shell.type("exit\n")
    assert shell.end() == 0


@pytest.mark.slow
def test_the_mode_of_the_callers_terminal_stays(work: Path, tmp_path: Path) -> None:
    with nothing_left(tmp_path) as temporary:
        for script, code in (("stty raw -echo; exit 4", 4), ("stty -icanon; kill -KILL $$", 137)):
            master, slave = pty.openpty()
            before = termios.tcgetattr(slave)
            done = subprocess.run(
                [*CLI, "run", "--", "sh", "-c", script],
                cwd=work,
                env=clean_environ(TMPDIR=os.fspath(temporary)),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                timeout=60,
                check=False,
            )
            assert done.returncode == code
            assert termios.tcgetattr(slave) == before
            os.close(slave)
            os.close(master)


def test_the_callers_terminal_is_out_of_reach(work: Path) -> None:
    # TIOCSTI types into a terminal. The caller's shell would read that text after the command has ended.
    code = """
import fcntl
for fd in (0, 1, 2):
    try:
        fcntl.ioctl(fd, 0x5412, b"x")
    except OSError as error:
        print("refused", error.errno)
"""
    with Terminal(["--", "python", "-c", code], work.parent) as terminal:
        for _ in range(3):
            terminal.wait_for(r"refused \d+\n")
        assert terminal.end() == 0


def test_an_interrupt_on_a_terminal_goes_to_the_command(work: Path) -> None:
    script = "trap 'echo asked; exit 9' INT; echo up; while :; do sleep 0.1; done"
    with Terminal(["--", "sh", "-c", script], work.parent) as terminal:
        terminal.wait_for(r"up\n")
        terminal.type("\x03")
        terminal.wait_for(r"asked\n")
        assert terminal.end() == 9


def test_a_background_process_on_the_terminal_ends_with_the_command(work: Path) -> None:
    with Terminal(["--", "sh", "-c", "sleep 600 & echo up; exit 5"], work.parent) as terminal:
        terminal.wait_for(r"up\n")
        assert terminal.end() == 5


def test_a_terminal_that_hangs_up_ends_everything(work: Path) -> None:
    with Terminal(["--", "sh", "-c", "trap '' HUP; echo up; sleep 600"], work.parent) as terminal:
        terminal.wait_for(r"up\n")
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, terminal.fd)  # this closes the terminal, so it hangs up
        os.close(null)
        terminal.code = os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1])
    # Its death ends the others through signals, so poll for their end.
    for _ in range(200):
        if not running(terminal.temporary):
            break
        time.sleep(0.1)
    assert running(terminal.temporary) == []


def test_output_to_a_file_needs_no_terminal(work: Path) -> None:
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            [*CLI, "run", "--", "sh", "-c", "test -t 1 || echo no terminal"],
            cwd=work,
            env=clean_environ(),
            stdin=slave,
            stdout=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(slave)
        os.close(master)
    assert (done.returncode, done.stdout) == (0, b"no terminal\n")
