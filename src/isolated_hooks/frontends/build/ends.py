"""How build's command line ends, and what it shows: bounded work for each line of output, and no traceback.

build captures the output of pip, and with ``--metadata`` that of hooks, decodes it strictly and wraps each line with
:mod:`textwrap`, which takes the square of a line's length. It prints a traceback for every error that is not its own,
a full disk for instance.
"""

from __future__ import annotations

import codecs
import collections
import contextlib
import os
import signal
import subprocess
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import IO, Any

import build.__main__
import build.env
import pyproject_hooks
from build import _ctx

from ...errors import IsolatedHooksError
from ...launchers.warm import popen
from ..restore import Restoring

__all__ = ["bounded", "run_bounded"]

#: The most bytes of a program's output that we keep until it ends. Errors are at the end.
MAX_KEPT = 1 << 20
#: The most characters that build wraps as one line. The rest of a longer line follows on lines of its own.
MAX_LINE = 4096
_BLOCK = 1 << 16
# How long a program may take to end after an interrupt.
_SECONDS = 5.0


@contextlib.contextmanager
def bounded(*, tracebacks: bool) -> Iterator[None]:
    """Bound what build's command line does with the output of programs, and how it prints errors within the context.

    :param tracebacks: whether build prints the traceback of an error that is neither its own nor a backend's
    """
    with Restoring() as changes:
        main = build.__main__
        if hasattr(main, "textwrap"):
            changes.attribute(main, "textwrap", SimpleNamespace(**{**vars(textwrap), "fill": _fill}))
        if hasattr(main, "traceback"):
            format_exc = traceback.format_exc if tracebacks else lambda *_, **__: ""
            printing = {"format_exc": format_exc, "format_exception": _format_exception}
            changes.attribute(main, "traceback", SimpleNamespace(**{**vars(traceback), **printing}))
        for module in (_ctx, build.env):
            if hasattr(module, "run_subprocess"):
                changes.attribute(module, "run_subprocess", run_bounded)
        changes.attribute(pyproject_hooks, "quiet_subprocess_runner", _quiet)
        yield


def _format_exception(error: Any, *args: Any, **options: Any) -> list[str]:
    """Return the traceback of a backend's error, and none of an error whose text says what to do."""
    return (
        [] if isinstance(error, (IsolatedHooksError, OSError)) else traceback.format_exception(error, *args, **options)
    )


def _fill(text: str, width: int = 70, **options: Any) -> str:
    pieces = [text[place : place + MAX_LINE] for place in range(0, len(text), MAX_LINE)] or [""]
    return "\n".join(textwrap.fill(piece, width, **options) for piece in pieces)


def run_bounded(cmd: Sequence[Any], cwd: str | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a command as build does: show its output with ``-v`` as it comes, and otherwise its end if the command fails.

    :raises subprocess.CalledProcessError: it failed
    """
    shown = _ctx.verbosity > 0
    if shown:
        _ctx.log(subprocess.list2cmdline(cmd), kind=("subprocess", "cmd"))
    output = _Output(_log_line if shown else None)
    try:
        _run(cmd, cwd, env, output)
    except subprocess.CalledProcessError:
        if not shown:
            _ctx.log(subprocess.list2cmdline(cmd), kind=("subprocess", "cmd"))
            _ctx.log(output.end(), kind=("subprocess", "stdout"))
        raise


def _quiet(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    """Run a hook and keep the end of its output, in the place of :func:`pyproject_hooks.quiet_subprocess_runner`."""
    output = _Output(None)
    try:
        _run(cmd, cwd, {**os.environ, **(extra_environ or {})}, output)
    except subprocess.CalledProcessError as problem:
        problem.output = output.end().encode()
        raise


def _log_line(line: str) -> None:
    _ctx.log(line, kind=("subprocess", "stdout"))


class _Output:
    """The output of a program as text: any byte becomes some.

    :param log: takes each line as it comes, and a very long one in pieces; without it, the end of the output is kept
    """

    def __init__(self, log: Callable[[str], None] | None) -> None:
        self._log = log
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._line = ""
        self._kept: collections.deque[str] = collections.deque()
        self._size = 0
        self._cut = False

    def feed(self, data: bytes) -> None:
        """Take the next piece, or with no bytes the end."""
        text = self._decoder.decode(data, final=not data)
        if self._log is None:
            self._keep(text)
            return
        *lines, self._line = (self._line + text).split("\n")
        if len(self._line) > MAX_LINE or (self._line and not data):
            lines, self._line = [*lines, self._line], ""
        for line in lines:
            self._log(line)

    def _keep(self, text: str) -> None:
        self._kept.append(text)
        self._size += len(text)
        while self._size - len(self._kept[0]) >= MAX_KEPT:
            self._size -= len(self._kept.popleft())
            self._cut = True

    def end(self) -> str:
        """Return the end of the output."""
        return ("(the beginning of the output is left out)\n" if self._cut else "") + "".join(self._kept)


def _run(cmd: Sequence[Any], cwd: str | None, env: Mapping[str, str] | None, output: _Output) -> None:
    with popen(cmd, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        try:
            _copy(process.stdout, output)
            code = process.wait()
        except BaseException:
            # A terminal interrupts the program too, but kill(1) only this process. pip removes its files then.
            try:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_SECONDS)
            finally:
                process.kill()
            raise
    if code:
        raise subprocess.CalledProcessError(code, cmd)


def _copy(stream: IO[bytes], output: _Output) -> None:
    while data := stream.read(_BLOCK):
        output.feed(data)
    output.feed(b"")
