"""Run many short commands for the price of one start: a process imports the command line once, and forks for each.

Every command has a process, standard streams and an exit code of its own, like one that a shell has started. Only the
import is shared, so this is for commands whose start is not what the test is about: most check arguments.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from support.each import each
from support.projects import clean_environ

__all__ = ["commands", "refused"]

_PROGRAM = """
import importlib, json, os, sys, tempfile
from isolated_hooks.cli import main

def files():
    return [open(os.devnull, "rb"), tempfile.TemporaryFile(), tempfile.TemporaryFile()]

def text(file):
    file.seek(0)
    return file.read().decode(errors="surrogateescape")

asked, ended = json.load(sys.stdin), []
for first in {arguments[0] for arguments in asked if arguments}:
    importlib.import_module(f"isolated_hooks.cli.{first}")
for arguments in asked:
    streams = files()
    pid = os.fork()
    if not pid:
        for number, file in enumerate(streams):
            os.dup2(file.fileno(), number)
            file.close()
        sys.exit(main(arguments))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    ended.append((code, *map(text, streams[1:])))
    for file in streams:
        file.close()
json.dump(ended, sys.stdout)
"""


def commands(
    calls: Iterable[Sequence[str | Path]], cwd: Path, environ: Mapping[str, str] | None = None
) -> list[subprocess.CompletedProcess[str]]:
    """Run ``isolated-hooks`` with each list of arguments, one after the other, and return the completed processes.

    Their input is empty, and their output text. The first argument of each list has to be the name of a command.
    """
    asked = [[os.fspath(argument) for argument in call] for call in calls]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps(asked),
        cwd=cwd,
        env=clean_environ(**(environ or {})),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        subprocess.CompletedProcess(call, code, out, err)
        for call, (code, out, err) in zip(asked, json.loads(done.stdout), strict=True)
    ]


def refused(wrong: Mapping[tuple[str, ...], str], ended: Sequence[subprocess.CompletedProcess[str]]) -> None:
    """Check that each command ended as a usage error does: exit code 2, nothing printed, and a text that says why.

    :param wrong: what the error says, by the wrong options; in the order of the commands
    """

    def check(case: tuple[tuple[str, ...], subprocess.CompletedProcess[str]]) -> None:
        options, done = case
        assert (done.returncode, done.stdout) == (2, "")
        assert wrong[options] in done.stderr, done.stderr
        assert "Traceback" not in done.stderr

    each(zip(wrong, ended, strict=True), check)
