"""The page on errors, from their classes."""

from __future__ import annotations

import inspect

import isolated_hooks
from isolated_hooks.cli import exit_code_of

from .text import HEADER, described, heading

__all__ = ["page"]

_BEGINNING = """\
Errors
======

A command ends each error in one line: the thing, the problem, and a remedy. Its exit code says whose turn it is: 1, the
build failed; 2, you have to change what you typed; 3, the host has to change, or the policy. `Commands <commands.rst>`_
lists the codes of each command.

From Python, every error below is an ``isolated_hooks.IsolatedHooksError``, and can be pickled. An error that the
frontend's own runner raises because the hook failed passes through unchanged, and so do ``BackendUnavailable``,
``HookMissing`` and ``UnsupportedOperation`` of pyproject_hooks.

"""
_ENDING = """\
An internal error
-----------------

A line that begins with *internal error* is a mistake of ours. Set ``ISOLATED_HOOKS_TRACEBACK=1``, start the command
again, and report the traceback. `When a build breaks <../howto/broken-builds.rst>`_ starts from the other lines.
"""


def page() -> str:
    """Return the text of the page."""
    things = [getattr(isolated_hooks, name) for name in isolated_hooks.__all__]
    kinds = [thing for thing in things if isinstance(thing, type) and issubclass(thing, BaseException)]
    errors = [kind for kind in kinds if not issubclass(kind, Warning)]
    warnings = [kind for kind in kinds if issubclass(kind, Warning)]
    errors.sort(key=lambda kind: (len(kind.__mro__), kind.__name__))
    parts = [heading("Exceptions", "-"), *map(_error, errors), heading("Warnings", "-"), *map(_warning, warnings)]
    return HEADER + _BEGINNING + "".join(parts) + _ENDING


def _error(kind: type[BaseException]) -> str:
    bases = ", ".join(f"``{base.__name__}``" for base in kind.__bases__)
    fields = f":A kind of: {bases}\n:Exit code: {exit_code_of(kind)}\n"
    return f"{heading(kind.__name__, '~')}{described(kind)}\n{fields}\n"


def _warning(kind: type[BaseException]) -> str:
    return f"{heading(kind.__name__, '~')}{inspect.cleandoc(described(kind))}\n\n"
