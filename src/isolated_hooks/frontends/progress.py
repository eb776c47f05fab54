"""A line at the bottom of the terminal that tells of a hook that takes long: its name, the time, its last output.

The line is there only while nothing else is written: each output of the hook takes its place, and it comes back below.
The text is what the filter lets through, and is escaped once more, because it stands in a line of ours.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator

from ..text import visible

__all__ = ["StatusLine", "fitted", "status_line"]

#: The seconds after which the line appears.
DELAY = 2.0
_PERIOD = 0.5
_MAX_KEPT = 2000
_NARROWEST = 20
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# No terminal: what a program without one has, and what an editor's buffer has.
_DUMB = ("", "dumb")


@contextlib.contextmanager
def status_line(hook: str) -> Iterator[StatusLine | None]:
    """Show the line while a hook runs, on stderr, if that is a terminal; otherwise do nothing."""
    if os.environ.get("TERM", "") in _DUMB or not os.isatty(2):
        yield None
        return
    line = StatusLine(os.dup(2), hook)
    try:
        yield line
    finally:
        line.close()


class StatusLine:
    """The line, and the thread that rewrites it.

    :param fd: a descriptor of the terminal, which this object closes
    :param hook: the name of the hook
    """

    def __init__(self, fd: int, hook: str) -> None:
        self._fd = fd
        self._hook = hook
        self._began = time.monotonic()
        self._last = ""
        self._part = ""
        self._cells = 0  # of the line that is on the terminal now
        self._free = True  # the cursor is at the beginning of a line
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def around(self, write: Callable[[bytes], None], target: int) -> Callable[[bytes], None]:
        """Return a function that writes output, and makes room for it if it goes to a terminal."""
        terminal = os.isatty(target)

        def written(data: bytes) -> None:
            if not data:
                return
            with self._lock:
                if terminal:
                    self._clear()
                write(data)
                self._free = data.endswith(b"\n") if terminal else self._free
                self._keep(data.decode("utf-8", "replace"))

        return written

    def close(self) -> None:
        """Take the line away."""
        self._ended.set()
        with self._lock, contextlib.suppress(OSError):
            self._clear()
        self._thread.join()
        os.close(self._fd)

    def _run(self) -> None:
        seconds = DELAY
        with contextlib.suppress(OSError):  # the terminal is gone
            while not self._ended.wait(seconds):
                with self._lock:
                    if not self._ended.is_set():
                        self._draw()
                seconds = _PERIOD

    def _keep(self, text: str) -> None:
        """Keep the last line of output that is not blank."""
        *lines, self._part = _COLOUR.sub("", self._part + text[-_MAX_KEPT:]).replace("\r", "\n").split("\n")
        self._part = self._part[-_MAX_KEPT:]
        self._last = next((line for line in (self._part, *reversed(lines)) if line.strip()), self._last)

    def _draw(self) -> None:
        width = _width(self._fd)
        if not self._free or width < _NARROWEST:
            return
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        text = f"{self._hook} {minutes}:{seconds:02}  {' '.join(self._last.split())}"
        shown, cells = fitted(visible(text, limit=_MAX_KEPT), width - 1)
        styled = shown if "NO_COLOR" in os.environ else f"\x1b[2m{shown}\x1b[0m"
        self._clear()
        self._cells = cells
        self._write(styled)

    def _clear(self) -> None:
        if self._cells:
            # A terminal that has become narrower shows the line in several rows.
            rows = (self._cells - 1) // max(_width(self._fd), 1) + 1
            self._cells = 0
            self._write("\r\x1b[K" + "\x1b[A\x1b[K" * (rows - 1))

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        while data:
            data = data[os.write(self._fd, data) :]


def fitted(text: str, width: int) -> tuple[str, int]:
    """Return as much of a text as fits into some cells of a terminal, and the number of cells that it takes."""
    cells = 0
    for position, character in enumerate(text):
        wide = unicodedata.east_asian_width(character) in "WF"
        size = 0 if unicodedata.combining(character) else 1 + wide
        if cells + size > width:
            return text[:position], cells
        cells += size
    return text, cells


def _width(fd: int) -> int:
    try:
        return os.get_terminal_size(fd).columns or 80
    except OSError:
        return 80
