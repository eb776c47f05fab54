"""The command line: one module a command, imported when it is asked for.

Exit codes: 0; 1 the build failed; 2 usage or configuration; 3 the sandbox is unavailable or could not be set up.
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
    "build": "build an sdist and a wheel as 'python -m build' does, every hook in a sandbox",
    "fromager": "fromager's own command line, every hook in a sandbox",
    "pip": "run pip, every hook in a sandbox, those of build requirements too",
    "run": "run any command under the same policy, a shell for instance",
    "doctor": "say what this host offers, protection by protection, with remedies",
    "selftest": "run harmless attacks on this host, and say attack by attack what held",
    "explain": "print the plan of a hook in words, without running it",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``isolated-hooks`` and return its exit code.

    :param arguments: of the command line; ``sys.argv[1:]`` where they are left out
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
        # Whoever read it has had enough. Nothing more may be written there, the interpreter's last flush included.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        return 1
    except KeyboardInterrupt:
        error("interrupted")
        return 130


def _open_closed_streams() -> None:
    """Have all of stdin, stdout and stderr: a daemon may have closed some, and no other file may get their numbers."""
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
        error(f"there is no command {first!r}; there are {', '.join(_COMMANDS)}")
        return 2
    try:
        os.getcwd()
    except OSError as problem:
        error(f"the current directory cannot be used: {problem.strerror}; change to one that exists")
        return 2
    command = importlib.import_module(f"{__name__}.{first}")
    return int(command.main(arguments[1:]))


def exit_code_of(kind: type[BaseException]) -> int:
    """Return the exit code that a class of errors of this package stands for."""
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
        "options:\n  -h, --help     show this message; 'isolated-hooks COMMAND --help' says more\n"
        "  -V, --version  show the version"
    )
