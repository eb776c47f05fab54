"""Processes of this host by their name, and what they do in their own time."""

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
    """Yield the living processes on this host of that name, which has up to 15 characters."""
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            before, _, after = (directory / "stat").read_text().rpartition(")")
            # One that has ended and that nobody has reaped yet is no longer there in any way that matters.
            if before.partition("(")[2] == name and after.split()[0] not in "ZX":
                yield int(directory.name)


def end_processes(name: str) -> None:
    """End the processes of that name."""
    for pid in processes(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def until(condition: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """Return what a condition gives as soon as that is true, and its last word when a generous deadline has passed."""
    end = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return result
