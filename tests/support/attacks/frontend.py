"""A frontend in its own process, for tests that, for instance, kill the frontend.

``python frontend.py DESCRIPTION``. The description is a JSON object. Required keys are ``tree``, ``python``, ``hook``,
``out``, and ``attacks`` as the backend takes them. Optional keys are ``sandboxed``; ``launcher``; ``mirror``, the host
refuses idmapped mounts; ``shell``, the frontend starts the hook through a shell; ``terminal``, descriptor 0 becomes the
controlling terminal; ``limits`` of the policy; and ``program``, the path of a program to use as bwrap. An error of the
sandbox goes to stderr, and the exit code is 1.
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
    options = json.loads(description)
    # A test run in the background ignores SIGINT, and this process inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.get("terminal"):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if options.get("mirror"):
        trial.refused_identities = lambda *_: frozenset((Identity.SINGLE, Identity.RANGE))
    if "program" in options:
        bubblewrap._examine = lambda: (options["program"], Availability(True, ""), (0, 8))
    runner = _through_a_shell if options.get("shell") else None
    arguments = (options["tree"], "hostile", ["."], runner, options["python"])
    caller: pyproject_hooks.BuildBackendHookCaller = pyproject_hooks.BuildBackendHookCaller(*arguments)
    if options.get("sandboxed", True):
        policy = Policy(launcher=options.get("launcher", "native"), limits=options.get("limits", {}))
        caller = IsolatedHookCaller(*arguments, policy=policy)
    call_hook(caller, options["hook"], options["out"], {"attacks": json.dumps(options["attacks"])})


if __name__ == "__main__":
    main(sys.argv[1])
