"""Sends a subprocess runner's standard streams through a filter while the runner is at work.

Only a command line may use it: while a hook runs, descriptors 1 and 2 of the whole process are pipes. Every process
that inherits them, above all the hook, writes into these pipes. A runner that captures its child's output is not
affected.
"""

from __future__ import annotations

import contextlib
import contextvars
import fcntl
import functools
import os
import select
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..hookcall import SubprocessRunner
from ..outputfilter import OutputFilter
from ..run.runners import Transparent, warm_runner
from ..runner import IsolatedRunner
from .progress import StatusLine, status_line
from .restore import Restoring

__all__ = ["FilteringRunner", "filtered", "filtering", "text_filtered"]

_BLOCK = 1 << 16
# How much of the end of a command's output we keep, to explain a failure.
_KEPT = 1 << 16
# A process may still hold a stream open when the runner has returned: an interrupted runner is killing its child.
_SECONDS = 10.0
_hook: contextvars.ContextVar[str] = contextvars.ContextVar("hook", default="")


class FilteringRunner(IsolatedRunner):
    """An :class:`IsolatedRunner` that filters the output of hooks, no matter which runner starts them.

    :ivar progress: on a terminal, a line at the bottom tells of a hook that takes long
    """

    progress = False

    def wrapping(self, inner: SubprocessRunner) -> IsolatedRunner:
        if isinstance(inner, IsolatedRunner):
            return inner
        return super().wrapping(filtered(inner, progress=self.progress))

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        before = _hook.set(cmd[2] if len(cmd) > 2 else "")
        try:
            super().__call__(cmd, cwd, extra_environ)
        finally:
            _hook.reset(before)


def filtered(inner: SubprocessRunner, *, progress: bool = False) -> SubprocessRunner:
    """Return a runner that starts each command through ``inner`` and filters its output.

    :param progress: on a terminal, show a line about a hook that takes long
    """
    return _Filtered(inner, progress=progress)


class _Filtered(Transparent):
    """Starts commands through another runner, filters their output, and keeps the end of it.

    :ivar tail: the last bytes of the output of the last command, filtered
    """

    def __init__(self, inner: SubprocessRunner, *, progress: bool) -> None:
        super().__init__(inner)
        self._progress = progress
        self.tail = b""

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        # Python buffers its output to a pipe, but not to a terminal. Users want to see each line at once.
        environ = {"PYTHONUNBUFFERED": "1", **(extra_environ or {})}
        self.tail = b""
        shown = status_line(_hook.get()) if self._progress else contextlib.nullcontext()
        with shown as status, filtering(status, keep=self._keep):
            warm_runner(self.inner)(cmd, cwd=cwd, extra_environ=environ)

    def _keep(self, data: bytes) -> None:
        self.tail = (self.tail + data[-_KEPT:])[-_KEPT:]


@contextlib.contextmanager
def filtering(status: StatusLine | None = None, *, keep: Callable[[bytes], object] | None = None) -> Iterator[None]:
    """Filter all writes to descriptors 1 and 2 within the context.

    If both descriptors refer to the same file, their output keeps its order.

    :param status: a line at the bottom of the terminal, which makes room for each output
    :param keep: called with each filtered piece, in a thread
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        for descriptors in _streams():
            stack.enter_context(_replaced(descriptors, status, keep))
        yield


@contextlib.contextmanager
def text_filtered(*names: str) -> Iterator[None]:
    """Filter this process's own output, because frontends print names and requirements from the source tree.

    :param names: the attributes of :mod:`sys` to filter: ``"stdout"``, ``"stderr"``, or both
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
    """A text stream that filters writes and passes every other attribute through to the original."""

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
    """Return the open descriptors, grouped by file: the output of two to the same file may form one line."""
    by_file: dict[tuple[int, int], tuple[int, ...]] = {}
    for fd in (1, 2):
        with contextlib.suppress(OSError):
            status = os.fstat(fd)
            key = (status.st_dev, status.st_ino)
            by_file[key] = (*by_file.get(key, ()), fd)
    return list(by_file.values())


@contextlib.contextmanager
def _replaced(
    descriptors: tuple[int, ...], status: StatusLine | None, keep: Callable[[bytes], object] | None
) -> Iterator[None]:
    originals = [(fd, _high(os.dup(fd))) for fd in descriptors]
    read_end, write_end = map(_high, os.pipe())
    # The thread closes its own two descriptors, so no other code can reuse their numbers while the thread needs them.
    target = _high(os.dup(descriptors[0]))
    relay = threading.Thread(target=_relay, args=(read_end, target, status, keep), daemon=True)
    relay.start()
    for fd in descriptors:
        os.dup2(write_end, fd)
    os.close(write_end)
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


def _relay(source: int, target: int, status: StatusLine | None, keep: Callable[[bytes], object] | None) -> None:
    output_filter = OutputFilter()
    write = functools.partial(_write, target)
    try:
        shown = write if status is None else status.around(write, target)
        _copy(lambda: os.read(source, _BLOCK), output_filter, shown, keep)
    except OSError:
        pass  # the reader has gone away. We close our end, so the hook gets the same error as it would without a filter
    finally:
        os.close(source)
        os.close(target)


def _copy(
    read: Callable[[], bytes],
    output_filter: OutputFilter,
    write: Callable[[bytes], None],
    keep: Callable[[bytes], object] | None,
) -> None:
    while data := read():
        shown = output_filter.feed(data)
        if keep is not None:
            keep(shown)
        write(shown)
    write(output_filter.finish())


def _write(fd: int, data: bytes) -> None:
    unwritten = memoryview(data)
    while unwritten:
        try:
            unwritten = unwritten[os.write(fd, unwritten) :]
        except BlockingIOError:  # another process that shares the open file has set O_NONBLOCK
            select.select([], [fd], [])
