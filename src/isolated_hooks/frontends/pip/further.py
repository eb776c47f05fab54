"""The further pips that pip starts: for build requirements that exist only as sdists, and for the hooks of those.

Each is started outside the sandbox after hooks have run. So it searches nothing that they may have written, ends with
the pip that started it, and reads copies of the files that the user named in a source tree.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from ...files.spelling import absolute
from ...files.steered import recorded_trees
from ...text import visible
from ..copies import Copies
from ..imports import python_flags, trusted_path
from . import program
from .runner import installation_error

__all__ = ["by_our_rules", "is_further_pip", "named_files", "search"]

# The options by which pip hands files on to the pips that it starts.
_LISTS = frozenset(("-c", "--constraint", "--build-constraint"))
_FILES = frozenset(("--cert", "--client-cert"))
_FLAGS = frozenset(("-I", "-S"))


def search() -> dict[str, Any]:
    """Return the part of the state that says what a further pip under this interpreter searches."""
    return {
        "executable": sys.executable,
        "path": trusted_path(recorded_trees()),
        "prefix": (sys.prefix, sys.exec_prefix),
    }


def is_further_pip(argv: Sequence[str], runnable: str) -> bool:
    """Return whether a command starts a further pip: an interpreter, our options, and ``runnable``."""
    first = next((argument for argument in argv[1:] if argument not in _FLAGS), None)
    return first == runnable


def named_files(arguments: Sequence[str]) -> list[tuple[str, bool]]:
    """Return the files that the arguments of pip name by such an option, and whether each is a list of constraints."""
    named = []
    for option, value in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, after = option.partition("=")
        if name in _LISTS | _FILES:
            named.append((after if equals else value, name in _LISTS))
        elif option.startswith("-c") and option != "-c" and not option.startswith("--"):
            named.append((option[2:], True))
    return [(absolute(os.path.expanduser(path)), lists) for path, lists in named if path and "://" not in path]


def by_our_rules(call: Callable[..., Any], runnable: str, copies: Copies) -> Callable[..., Any]:
    """Wrap pip's function that starts a further pip.

    :param runnable: the script that a further pip runs
    :param copies: the copies of the files that the user named
    """

    @functools.wraps(call)
    def call_subprocess(cmd: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        if [*cmd[:2]] == [sys.executable, runnable]:
            cmd = [cmd[0], *python_flags(recorded_trees()), runnable, *_with_copies(cmd[2:], copies)]
            state = json.loads(os.environ[program.STATE])
            state |= {**search(), "parent": os.getpid(), "trees": _named_trees(), "fetches": False}
            os.environ[program.STATE] = json.dumps(state)
        return call(cmd, *args, **kwargs)

    return call_subprocess


def _named_trees() -> list[str]:
    """Return the trees that a path of the user's may lead into: not those that pip has unpacked, one for each sdist."""
    beneath = os.path.join(os.path.realpath(tempfile.gettempdir()), "pip-")
    return [tree for tree in recorded_trees().written if not tree.startswith(beneath)]


def _with_copies(arguments: Sequence[Any], copies: Copies) -> list[Any]:
    """Return the arguments with the copies of the files in the place of their names."""
    fitted = []
    for before, argument in zip([None, *arguments], arguments, strict=False):
        if before in _LISTS | _FILES and "://" not in argument:
            path = absolute(argument)
            argument = copies.made.get(path, argument)
            if argument not in copies.made.values() and recorded_trees().steer(path):
                raise installation_error(
                    f"{visible(path)!r} lies in a source tree, where a hook may have changed it. Remedy: name it on "
                    "the command line, or move it out of the source tree"
                )
        fitted.append(argument)
    return fitted
