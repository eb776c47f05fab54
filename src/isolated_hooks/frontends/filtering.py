"""A subprocess runner's standard streams, led through a filter while it runs.

For a command line alone: while a hook runs, descriptors 1 and 2 of the whole process are pipes. Whatever inherits them,
the hook above all, writes into these; a runner that captures by itself is not affected.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..hookcall import SubprocessRunner
from ..outputfilter import OutputFilter
from ..runner import IsolatedRunner
from .restore import Restoring

__all__ = ["FilteringRunner", "filtered", "filtering", "text_filtered"]

_BLOCK = 1 << 16
# What still holds a stream open when the runner has returned is being ended: an interrupted runner kills its child.
_SECONDS = 10.0


class FilteringRunner(IsolatedRunner):
    """An :class:`IsolatedRunner` whose hooks print through the filter, whatever runner starts them."""

    def wrapping(self, inner: SubprocessRunner) -> IsolatedRunner:
        return inner if isinstance(inner, IsolatedRunner) else super().wrapping(filtered(inner))


def filtered(inner: SubprocessRunner) -> SubprocessRunner:
    """Return a runner that starts the same through ``inner``, with what it prints filtered."""

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        # Python keeps back what it writes to a pipe, and on a terminal it would not: lines are to be seen as they come.
        environ = {"PYTHONUNBUFFERED": "1", **(extra_environ or {})}
        with filtering():
            inner(cmd, cwd=cwd, extra_environ=environ)

    return runner


@contextlib.contextmanager
def filtering() -> Iterator[None]:
    """Filter what is written to descriptors 1 and 2 within the context; both keep their order where they are one."""
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        for descriptors in _streams():
            stack.enter_context(_replaced(descriptors))
        yield


@contextlib.contextmanager
def text_filtered(*names: str) -> Iterator[None]:
    """Filter what this process itself prints: frontends print names and requirements out of the source tree.

    :param names: of attributes of :mod:`sys`, ``"stdout"`` and ``"stderr"``
    """
    with Restoring() as changes:
        for name in names:
            stream = getattr(sys, name)
            if stream is not None:
                text = _Text(stream)
                changes.callback(text.finish)
                changes.attribute(sys, name, text)
        yield


class _Text:
    """A stream of text that is written to through a filter, and in all else the original."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._filter = OutputFilter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.write(self._filter.feed(text.encode("utf-8", "backslashreplace")).decode())
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def finish(self) -> None:
        self._stream.write(self._filter.finish().decode())


def _streams() -> list[tuple[int, ...]]:
    """Return the descriptors that are open, those together that are the same file: their output may form one line."""
    by_file: dict[tuple[int, int], tuple[int, ...]] = {}
    for fd in (1, 2):
        with contextlib.suppress(OSError):
            status = os.fstat(fd)
            key = (status.st_dev, status.st_ino)
            by_file[key] = (*by_file.get(key, ()), fd)
    return list(by_file.values())


@contextlib.contextmanager
def _replaced(descriptors: tuple[int, ...]) -> Iterator[None]:
    originals = [(fd, _high(os.dup(fd))) for fd in descriptors]
    ours, theirs = map(_high, os.pipe())
    # The thread closes its own two descriptors, so that nobody else's can have their numbers before.
    relay = threading.Thread(target=_relay, args=(ours, _high(os.dup(descriptors[0]))), daemon=True)
    relay.start()
    for fd in descriptors:
        os.dup2(theirs, fd)
    os.close(theirs)
    try:
        yield
    finally:
        for fd, original in originals:
            os.dup2(original, fd)
            os.close(original)
        relay.join(_SECONDS)


def _high(fd: int) -> int:
    """Return a duplicate above the standard streams, one of which may be closed, and close ``fd``."""
    duplicate: int = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return duplicate


def _relay(source: int, target: int) -> None:
    output_filter = OutputFilter()
    try:
        _copy(lambda: os.read(source, _BLOCK), output_filter, target)
    except OSError:
        pass  # nobody reads it any more: with our end closed, the hook gets the same error as without us
    finally:
        os.close(source)
        os.close(target)


def _copy(read: Callable[[], bytes], output_filter: OutputFilter, target: int) -> None:
    while data := read():
        _write(target, output_filter.feed(data))
    _write(target, output_filter.finish())


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # whoever shares the file has made it so
            select.select([], [fd], [])
