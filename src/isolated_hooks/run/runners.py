"""The runners of pyproject_hooks once more, with a launcher that may be a fork of the process that stays ready."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from ..hookcall import SubprocessRunner
from ..launchers.warm import popen

__all__ = ["Transparent", "captured", "is_silent", "warm_runner"]


class Transparent:
    """A runner that starts commands through another one, and shows nothing of a command that says nothing.

    :param inner: the other runner
    """

    def __init__(self, inner: SubprocessRunner) -> None:
        self.inner = inner


def warm_runner(inner: SubprocessRunner) -> SubprocessRunner:
    """Return a runner that does the same as ``inner`` and may start a launcher warm, or ``inner`` itself."""
    known = {"default_subprocess_runner": _default, "quiet_subprocess_runner": _quiet}
    if getattr(inner, "__module__", None) == "pyproject_hooks._impl":
        return known.get(getattr(inner, "__qualname__", ""), inner)
    return inner


def is_silent(inner: SubprocessRunner) -> bool:
    """Return whether we know that a runner shows nothing of a command that says nothing and fails."""
    while isinstance(inner, Transparent):
        inner = inner.inner
    return warm_runner(inner) in (_default, _quiet)


def _default(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    with popen(cmd, cwd=cwd, env={**os.environ, **(extra_environ or {})}) as process:
        try:
            code = process.wait()
        except BaseException:
            process.kill()
            raise
    if code:
        raise subprocess.CalledProcessError(code, cmd)


def _quiet(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    code, output = captured(cmd, cwd=cwd, env={**os.environ, **(extra_environ or {})})
    if code:
        raise subprocess.CalledProcessError(code, cmd, output=output)


def captured(
    cmd: Sequence[str], *, cwd: str | None, env: Mapping[str, str], stdin: int | None = None
) -> tuple[int, bytes]:
    """Run a command, and return its exit code and the output of both its streams.

    :param stdin: as for :func:`..launchers.warm.popen`
    """
    streams = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with popen(cmd, cwd=cwd, env=env, **streams) as process:
        assert process.stdout is not None
        try:
            output = process.stdout.read()
            code = process.wait()
        except BaseException:
            process.kill()
            raise
    return code, output
