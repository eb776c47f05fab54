"""The line that tells of a hook that takes long, through a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from support.projects import CLI, WITH_PYTHON, clean_environ, write_project

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.slow]

# The last character of the text is wide. A title, a cursor movement and a clearing of the screen must not get through.
BACKEND = r"""
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    import time
    print("\x1b]0;pwned\x07compiling \x1b[2J\x1b[5A one of many files with a long name 語", flush=True)
    time.sleep(4)
    print("half", end="", flush=True)
    time.sleep(1.5)
    print(" a line", flush=True)
    return _wheel(wheel_directory, {})
"""
CONTROL = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])")


class Screen:
    """What a terminal shows: as much of one as this package and build write to."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        place = 0
        while place < len(text):
            control = CONTROL.match(text, place)
            if control:
                self._control(control.group(2))
                place = control.end()
                continue
            self._character(text[place])
            place += 1

    def _control(self, letter: str) -> None:
        assert letter in "mKA", f"a hook controls the terminal: {letter}"
        if letter == "K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif letter == "A":
            self.row -= 1

    def _character(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            self.rows += [""] * (self.row == len(self.rows))
        else:
            assert character.isprintable(), repr(character)
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1


def on_terminal(argv: list[str], environ: dict[str, str], columns: int) -> tuple[int, str]:
    """Run a command on a pseudo-terminal, and return its exit code and all that it writes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
    except OSError:  # EIO: the last process has closed the other end
        pass
    finally:
        os.close(ours)
    return process.wait(), written.decode()


@pytest.fixture
def argv(tmp_path: Path) -> list[str]:
    project = write_project(tmp_path / "project", extra=BACKEND)
    return [*CLI, "build", "-n", "-w", os.fspath(project)]


@pytest.mark.parametrize(("columns", "colour"), [(80, True), (30, False)])
def test_a_terminal_shows_one_line_that_is_taken_away(argv: list[str], columns: int, colour: bool) -> None:
    environ = clean_environ(**WITH_PYTHON, TERM="xterm", **({} if colour else {"NO_COLOR": "1"}))
    code, written = on_terminal(argv, environ, columns)
    assert code == 0, written
    drawn = re.findall(r"(\x1b\[2m)?(build_wheel \d:\d\d  [^\x1b\r\n]*)", written)
    assert len(drawn) >= 3
    assert all(bool(style) == colour for style, _ in drawn)
    assert all(len(text) + text.count("語") < columns for _, text in drawn)
    assert drawn[0][1].startswith(("build_wheel 0:02", "build_wheel 0:03"))
    assert ("compiling" if columns == 80 else "\\x1b]0;") in drawn[0][1]
    assert "\x1b]" not in written
    assert "\x1b[2J" not in written
    screen = Screen(columns)
    screen.feed(written)
    assert not [row for row in screen.rows if row.startswith("build_wheel ")]
    assert "half a line" in [row.rstrip() for row in screen.rows]


def test_nothing_is_shown_through_a_pipe_or_on_a_terminal_that_cannot_rewrite_a_line(argv: list[str]) -> None:
    environ = clean_environ(**WITH_PYTHON, TERM="xterm", FORCE_COLOR="1")
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    assert "build_wheel 0:" not in done.stdout + done.stderr
    code, written = on_terminal(argv, clean_environ(**WITH_PYTHON, TERM="dumb"), 80)
    assert code == 0
    assert "build_wheel 0:" not in written
