"""Find and end processes of this host by name, and wait for conditions."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["end_processes", "processes", "until"]


def processes(name: str) -> Iterator[int]:
    """Yield the ids of the live processes on this host with a name of at most 15 characters."""
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            before, _, after = (directory / "stat").read_text().rpartition(")")
            # A zombie has ended, even if nobody has reaped it yet.
            if before.partition("(")[2] == name and after.split()[0] not in "ZX":
                yield int(directory.name)


def end_processes(name: str) -> None:
    """Kill the processes with a name."""
    for pid in processes(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def until(condition: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """Return the result of a condition as soon as it is true, or its last result after ``seconds``."""
    end = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return result
