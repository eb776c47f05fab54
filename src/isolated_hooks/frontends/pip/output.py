"""Filters the output of hooks on its way into pip, which shows it with ``-v`` or if a hook fails.

pip starts a hook through the name ``subprocess.Popen`` and reads its output line by line. This module does not touch
pip's own output, its spinner or its progress bars.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import IO, Any

from ...outputfilter import OutputFilter

__all__ = ["FilteringSubprocess"]


class FilteringSubprocess:
    """Takes the place of the module :mod:`subprocess` in a module of pip.

    :param applies: returns whether the process that starts now is a hook
    """

    def __init__(self, applies: Callable[[], bool]) -> None:
        self._applies = applies

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, *args: Any, **options: Any) -> subprocess.Popen[str]:  # noqa: N802  # the name that pip uses
        """Start a process, and filter its ``stdout`` if it is a hook."""
        process = subprocess.Popen(*args, **options)
        if self._applies() and process.stdout is not None:
            process.stdout = _Lines(process.stdout)  # type: ignore[assignment]
        return process


class _Lines:
    """A filtered text stream, with those methods that pip uses."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._filter = OutputFilter()

    def readline(self) -> str:
        while line := self._stream.readline():
            # The filter returns no text yet if the line ends within an escape sequence.
            if text := self._filter.feed(line.encode("utf-8", "backslashreplace")).decode():
                return text
        return self._filter.finish().decode()

    def close(self) -> None:
        self._stream.close()
