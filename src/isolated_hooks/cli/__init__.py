"""The command line. Each command has a module, which is imported when the command is used.

Exit codes: 0, success; 1, the build failed; 2, wrong usage or configuration; 3, the sandbox is unavailable or could not
be set up.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import IsolatedHooksError, PolicyError, SandboxSetupError, SandboxUnavailableError, SwapError
from ..startup import raise_interrupts
from .messages import error

__all__ = ["exit_code_of", "main"]

_COMMANDS = {
    "build": "do the same as 'python -m build', with every hook in a sandbox",
    "fromager": "run fromager, with every hook in a sandbox",
    "pip": "run pip, with every hook in a sandbox, including the hooks of build requirements",
    "run": "run any command under the same policy, for instance a shell",
    "doctor": "report what this host offers, protection by protection, with remedies",
    "selftest": "attack the sandbox on this host, harmlessly, and report for each attack whether it held",
    "explain": "describe the plan for a hook, without running the hook",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``isolated-hooks`` and return its exit code.

    :param arguments: the command line without the program's name (default: ``sys.argv[1:]``)
    """
    _open_closed_streams()
    try:
        raise_interrupts()
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except IsolatedHooksError as problem:
        error(str(problem))
        return exit_code_of(type(problem))
    except BrokenPipeError:
        # The reader has closed the pipe. Write nothing more to it, not even in the interpreter's last flush.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        return 1
    except KeyboardInterrupt:
        error("interrupted")
        return 130


def _open_closed_streams() -> None:
    """Open those of stdin, stdout and stderr that a daemon has closed, so no other file gets their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - until the process ends


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    if first in ("-V", "--version"):
        print(f"isolated-hooks {__version__}")
        return 0
    if first not in _COMMANDS:
        error(f"unknown command {first!r} (expected one of {', '.join(_COMMANDS)})")
        return 2
    try:
        os.getcwd()
    except OSError as problem:
        error(f"the current directory is unusable: {problem.strerror}; change to a directory that exists")
        return 2
    command = importlib.import_module(f"{__name__}.{first}")
    return int(command.main(arguments[1:]))


def exit_code_of(kind: type[BaseException]) -> int:
    """Return the exit code for a class of errors."""
    if issubclass(kind, (PolicyError, SwapError)):
        return 2
    return 3 if issubclass(kind, (SandboxUnavailableError, SandboxSetupError)) else 1


def _usage() -> str:
    width = max(map(len, _COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {text}" for name, text in _COMMANDS.items())
    return (
        "usage: isolated-hooks COMMAND [ARGUMENT ...]\n\n"
        "Run the build hooks of other people's packages in a Linux sandbox.\n\n"
        f"commands:\n{lines}\n\n"
        "options:\n  -h, --help     show this message; for more, see 'isolated-hooks COMMAND --help'\n"
        "  -V, --version  show the version"
    )
