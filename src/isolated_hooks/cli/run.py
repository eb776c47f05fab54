"""``isolated-hooks run``: run any command under the policy for hooks, with the current directory as source tree.

Exit codes: the command's own; 124, it reached a time limit; 125, the sandbox could not be set up; 126, the command
cannot be run; 127, it does not exist; 128+N, signal N ended it.

The command's output reaches the terminal unfiltered, unlike the output of hooks in ``isolated-hooks build``. This
command is for interactive use, where programs draw on the terminal. For a log, pipe the output through a filter.
"""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
from collections.abc import Sequence

from ..errors import HookKilledError, HookTimeoutError, SandboxSetupError, SandboxUnavailableError
from ..launchers.child import child_environ
from ..policy import Policy
from ..report import HookReport
from ..run.command import run_command
from . import messages
from .options import add_policy_options, policy_of, spelled_out
from .terminal import PseudoTerminal

_PROG = "isolated-hooks run"
_DESCRIPTION = """\
Run any command under the policy for hooks, with the current directory as source tree.

Exit codes: the command's own; 124, it reached a time limit; 125, the sandbox could not be set up; 126 and 127, the
command could not be run; 128+N, signal N ended it. The output reaches the terminal unfiltered."""


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=_PROG,
        usage=f"{_PROG} [-v] [sandbox options] [--] CMD [ARGUMENT ...]",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_policy_options(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="print the protections at the end")
    # All arguments after the command belong to it, even those that look like our options.
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD", help="the command and its arguments")
    options = parser.parse_args(spelled_out(parser, arguments, leading=True))
    options.command = options.command[options.command[:1] == ["--"] :]
    if not options.command:
        parser.error("the following arguments are required: CMD")
    try:
        report = _run(options.command, policy_of(options))
    except HookTimeoutError as problem:
        messages.error(f"{options.command[0]}: ended after {problem.seconds:g} seconds: limit {problem.limit!r}")
        messages.explanation(problem)
        return 124
    except HookKilledError as problem:
        messages.error(f"{options.command[0]}: killed: it exceeded the limit {problem.limit!r} of {problem.value}")
        messages.explanation(problem)
        return 128 - problem.returncode
    except SandboxUnavailableError as problem:
        messages.error(str(problem))
        return 125
    except SandboxSetupError as problem:
        if problem.syscall != "execve":
            messages.error(str(problem))
            return 125
        messages.error(f"{options.command[0]}: {problem.strerror}")
        return 127 if problem.errno == errno.ENOENT else 126
    if options.verbose:
        messages.summary([report], noun="command")
    code = report.returncode or 0
    return 128 - code if code < 0 else code


def _run(command: Sequence[str], policy: Policy) -> HookReport:
    if not all(os.isatty(fd) for fd in (0, 1)):
        return run_command(command, os.getcwd(), policy, _run_plainly)
    with PseudoTerminal() as terminal:
        return run_command(command, os.getcwd(), policy, terminal.run, terminal=terminal.name)


def _run_plainly(command: list[str]) -> None:
    # An interrupt reaches the launcher too, which forwards it. In any case, wait until the launcher ends.
    with subprocess.Popen(command, env=child_environ()) as process:
        while True:
            try:
                process.wait()
                return
            except KeyboardInterrupt:
                continue
