"""The line of progress: what fits, and how it is taken away from a terminal that has become narrower."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios

import pytest

from isolated_hooks.frontends import progress
from isolated_hooks.frontends.progress import StatusLine, fitted


@pytest.mark.parametrize(
    ("text", "width", "shown", "cells"),
    [("abc", 5, "abc", 3), ("abc", 2, "ab", 2), ("語語", 3, "語", 2), ("e\u0301e", 1, "e\u0301", 1), ("", 4, "", 0)],
)
def test_a_text_is_cut_by_the_cells_that_it_takes(text: str, width: int, shown: str, cells: int) -> None:
    assert fitted(text, width) == (shown, cells)


def test_a_line_on_a_terminal_that_has_become_narrower_is_taken_away_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "DELAY", 600.0)
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    line = StatusLine(theirs, "build_wheel")
    write = line.around(lambda data: None, theirs)
    write(b"x" * 200 + b"\n")
    line._draw()
    assert b"build_wheel 0:00  xxx" in os.read(ours, 4096)
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    write(b"more\n")
    assert os.read(ours, 4096) == b"\r\x1b[K" + b"\x1b[A\x1b[K" * 2
    line.close()
    os.close(ours)
