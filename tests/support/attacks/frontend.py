"""A frontend in a process of its own, for what cannot be done to the one that runs the tests: to kill it, for instance.

``python frontend.py DESCRIPTION``, a JSON object: ``tree``, ``python``, ``hook``, ``out`` and ``attacks``, as the
backend takes them; ``sandboxed``; ``launcher``; ``mirror``, to have the host refuse idmapped mounts; ``shell``, to have
a shell stand between the frontend and what it starts; ``terminal``, to make descriptor 0 the controlling terminal;
``limits``, of the policy; ``program``, to be taken for bwrap. An error of the sandbox goes to stderr, and 1 is the exit
code.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence

import pyproject_hooks

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.launchers import Availability, bubblewrap
from isolated_hooks.plan import Identity
from isolated_hooks.run import trial
from isolated_hooks.selftest.conduct import call_hook


def _through_a_shell(
    cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
) -> None:
    command = ["/bin/sh", "-c", '"$@"; exit $?', "sh", *cmd]
    subprocess.run(command, cwd=cwd, env={**os.environ, **(extra_environ or {})}, check=True)


def main(description: str) -> None:
    """Call one hook."""
    given = json.loads(description)
    # Whoever runs the tests in the background has it ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if given.get("terminal"):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if given.get("mirror"):
        trial.refused_identities = lambda *_: frozenset((Identity.SINGLE, Identity.RANGE))
    if "program" in given:
        bubblewrap._examine = lambda: (given["program"], Availability(True, ""))
    runner = _through_a_shell if given.get("shell") else None
    arguments = (given["tree"], "hostile", ["."], runner, given["python"])
    caller: pyproject_hooks.BuildBackendHookCaller = pyproject_hooks.BuildBackendHookCaller(*arguments)
    if given.get("sandboxed", True):
        policy = Policy(launcher=given.get("launcher", "native"), limits=given.get("limits", {}))
        caller = IsolatedHookCaller(*arguments, policy=policy)
    call_hook(caller, given["hook"], given["out"], {"attacks": json.dumps(given["attacks"])})


if __name__ == "__main__":
    main(sys.argv[1])
