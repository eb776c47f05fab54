"""Filters the output of hooks on its way into pip, which shows it with ``-v`` or if a hook fails.

pip starts a hook through the name ``subprocess.Popen`` and reads its output line by line. pip's own messages hold what
METADATA, file names and requirements say, and pass through its log. Its spinner and its progress bars do not, and stay.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import traceback
from collections.abc import Callable, Iterator
from typing import IO, Any

from ...outputfilter import OutputFilter

__all__ = ["FilteringSubprocess", "filtered_log"]


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


@contextlib.contextmanager
def filtered_log() -> Iterator[None]:
    """Filter every message that this process logs within the context, and the traceback that it comes with."""
    make = logging.getLogRecordFactory()

    def make_filtered(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        # Objects of rich draw themselves. Of what others say, they hold the output of hooks, which is filtered.
        if record.msg != "[present-rich] %s":
            record.msg, record.args = _shown(record.getMessage()), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = _shown("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        return record

    logging.setLogRecordFactory(make_filtered)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)


def _shown(text: str) -> str:
    output = OutputFilter()
    shown = output.feed(text.encode("utf-8", "backslashreplace")) + output.finish()
    return shown.decode() if text.endswith("\n") else shown.decode().removesuffix("\n")
