"""The command line. Each command has a module, which is imported when the command is used.

Exit codes: 0, success; 1, the build failed; 2, wrong usage or configuration; 3, the sandbox is unavailable or could not
be set up.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

from .. import __version__
from ..errors import IsolatedHooksError, PolicyError, SandboxSetupError, SandboxUnavailableError, SwapError
from ..startup import end_at_interrupts, raise_interrupts
from ..text import visible
from .messages import error, explanation

__all__ = ["exit_code_of", "main"]

#: The variable that has an internal error print its traceback.
TRACEBACKS = "ISOLATED_HOOKS_TRACEBACK"

_COMMANDS = {
    "build": "do the same as 'python -m build', with every hook in a sandbox",
    "learn": "build in a discarded copy, observed, and print the smallest policy under which a project builds",
    "wheelhouse": "build a wheel of each of many packages, each in sandboxes of its own",
    "fromager": "run fromager, with every hook in a sandbox",
    "pip": "run pip, with every hook in a sandbox, including the hooks of build requirements",
    "run": "run any command under the same policy, for instance a shell",
    "doctor": "report what this host offers, protection by protection, with remedies",
    "selftest": "attack the sandbox on this host, harmlessly, and report for each attack whether it held",
    "verify": "check the statements of a build against a wheel and a policy, offline",
    "explain": "describe the plan for a hook, without running the hook",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``isolated-hooks`` and return its exit code. It prints an error in one line, and no traceback.

    :param arguments: the command line without the program's name (default: ``sys.argv[1:]``)
    """
    _prepare_streams()
    try:
        raise_interrupts()
        code = _ended(list(sys.argv[1:] if arguments is None else arguments))
        return code or _flush()
    except KeyboardInterrupt:
        end_at_interrupts()  # while the error is printed, too
        error("interrupted")
        return 130
    finally:
        end_at_interrupts()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                _discard(stream)


def _ended(arguments: list[str]) -> int:
    """Run a command to its end and return its exit code, however it ends."""
    try:
        return _run(arguments)
    except SystemExit as end:  # argparse prints its errors
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except IsolatedHooksError as problem:
        error(str(problem))
        explanation(problem)
        return exit_code_of(type(problem))
    except BrokenPipeError:
        # The reader has closed the pipe. Write nothing more to it, not even in the interpreter's last flush.
        for stream in (sys.stdout, sys.stderr):
            _discard(stream)
        return 1
    except OSError as problem:
        named = isinstance(problem.filename, (str, bytes))
        thing = visible(os.fsdecode(problem.filename), limit=300) if named else "the output, or a temporary file"
        error(f"{thing}: {problem.strerror or problem}. Remedy: see that this command can read and write there")
    except Exception as problem:
        if TRACEBACKS in os.environ:
            raise
        where = traceback.extract_tb(problem.__traceback__)[-1]
        error(
            f"internal error: {type(problem).__name__}: {visible(str(problem), limit=500)} "
            f"({os.path.basename(where.filename)}:{where.lineno}). Remedy: report it, with the traceback that the same "
            f"command prints under {TRACEBACKS}=1"
        )
    return 125 if arguments[:1] == ["run"] else 3


def _prepare_streams() -> None:
    """Make stdin, stdout and stderr usable, whatever the caller has left of them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            # A daemon has closed it. Open it, so that no other file gets its number.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - until the process ends
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path or name may have what the locale cannot encode


def _flush() -> int:
    """Return the exit code of a command that has no error but, perhaps, an output that stdout did not take."""
    try:
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        return 1
    except OSError as problem:
        error(f"stdout: the output could not be written: {problem.strerror}. Remedy: see that it can be written there")
        return 2


def _discard(stream: TextIO) -> None:
    """Send what is left in a stream nowhere: the interpreter's last flush would print another error."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


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
