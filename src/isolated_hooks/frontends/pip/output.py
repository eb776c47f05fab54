"""What hooks print, filtered on its way into pip, which shows it with ``-v`` and where a hook fails.

pip reads a hook's output line by line from a process that it starts by the name ``subprocess.Popen``. Its own output,
its spinner and its progress bars are left alone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import IO, Any

from ...outputfilter import OutputFilter

__all__ = ["FilteringSubprocess"]


class FilteringSubprocess:
    """Stands for the module :mod:`subprocess` in a module of pip.

    :param applies: says whether what is started now is a hook
    """

    def __init__(self, applies: Callable[[], bool]) -> None:
        self._applies = applies

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, *args: Any, **options: Any) -> subprocess.Popen[str]:  # noqa: N802  # the name that pip uses
        """Start a process; of a hook, ``stdout`` is filtered."""
        process = subprocess.Popen(*args, **options)
        if self._applies() and process.stdout is not None:
            process.stdout = _Lines(process.stdout)  # type: ignore[assignment]
        return process


class _Lines:
    """A stream of text, as far as pip uses one."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._filter = OutputFilter()

    def readline(self) -> str:
        while line := self._stream.readline():
            # A line may be the beginning of something that is not shown before it is known what it is.
            if text := self._filter.feed(line.encode("utf-8", "backslashreplace")).decode():
                return text
        return self._filter.finish().decode()

    def close(self) -> None:
        self._stream.close()
