"""Runs scripts of ours in the sandbox: they unpack what anybody has written, and none of its code runs with them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from ..launchers.child import child_environ
from ..policy import Policy
from ..run.command import run_command
from ..run.runners import captured
from ..text import visible

__all__ = ["run_script"]


def run_script(
    script: str,
    order: Mapping[str, Any],
    directory: str,
    policy: Policy,
    *,
    reads: tuple[str, ...],
    set_aside: bool = True,
) -> str | None:
    """Run a script under ``-I -S`` of the running interpreter, and return the text of its error or ``None``.

    :param order: the script gets it as JSON in its only argument
    :param directory: the directory that the script may write to
    :param policy: the policy for hooks. Its network, further paths and source tree mode do not apply here.
    :param reads: further paths that the script reads
    :param set_aside: whether to rename repositories of git that are in the directory afterwards
    :raises IsolatedHooksError: the sandbox could not be set up, or the script exceeded a limit
    """
    inside = dataclasses.replace(policy.without_network(), source="read-write", expose=(script, *reads), writable=())
    # A path such as "../env/bin/python" passes through directories that the sandbox does not have.
    python = os.path.join(os.path.realpath(os.path.dirname(sys.executable)), os.path.basename(sys.executable))
    argv = [python, "-I", "-S", script, json.dumps(order)]
    errors: list[bytes] = []

    def start(command: list[str]) -> None:
        errors.append(captured(command, cwd="/", env=child_environ(), stdin=subprocess.DEVNULL)[1])

    report = run_command(argv, directory, inside, start, stdin="null", python=sys.executable, set_aside=set_aside)
    return visible(errors[0].decode(errors="replace").strip(), limit=2000) if report.returncode else None
