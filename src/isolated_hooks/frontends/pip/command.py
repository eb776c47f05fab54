"""pip's own command line, with its hook caller swapped, in this pip and in every pip that it starts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from typing import Any

from ...errors import PolicyError
from ...files.spelling import absolute
from ...files.steered import recorded_trees
from ...frozen import dataclass
from ...policy import Policy
from ...report import HookReport
from ...text import visible
from ..imports import python_flags
from ..restore import Restoring
from . import program
from .further import search
from .projects import own_temporary_files
from .records import Record, Records
from .runner import PipRunner
from .seams import swapped
from .session import PROGRAM, main

__all__ = ["Outcome", "embedded", "pip_command", "run"]

# A pip under another interpreter imports these packages from where this interpreter has them.
_PACKAGES = ("isolated_hooks", "packaging", "pyproject_hooks")


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    :ivar code: pip's exit code
    :ivar record: the record of this pip and of all pips that it started
    """

    code: int
    record: Record


def pip_command(
    policy: Policy,
    *,
    python: str | None = None,
    pip: str | None = None,
    records: Records | None = None,
    raw_output: bool = False,
    observes: bool = False,
    fetches: bool = False,
    index: str = "",
    refuses: bool = False,
) -> list[str]:
    """Return a command that runs pip with all hooks in a sandbox. The caller appends pip's arguments.

    The pips that it starts, for build requirements that exist only as sdists or for ``--python``, do the same.

    :param policy: what hooks may do
    :param python: a trusted interpreter that runs pip; it need not have anything installed. Defaults to
        ``sys.executable``.
    :param pip: a wheel or another archive of pip, or the directory that contains the package. Defaults to the pip of
        the running interpreter.
    :param records: the file to which each pip adds its hook reports
    :param raw_output: whether to leave the output of hooks unfiltered, see :mod:`isolated_hooks.outputfilter`
    :param observes: whether the reports say what hooks asked for and did not get, as
        :attr:`isolated_hooks.IsolatedRunner.observes`
    :param fetches: whether the command is a ``download`` without dependencies, which then needs no hook for an sdist
        that has its metadata
    :param index: the URL below which an index of the caller's lies, on the loopback interface. No proxy is asked for
        it, its files are preferred to others of the same version, and pip's cache keeps no wheel built with them.
    :param refuses: whether these pips build no sdist, not even one that a URL names
    :raises PolicyError: there is no pip
    """
    state = {**_state(policy, pip, records, raw_output), "observes": observes, "fetches": fetches, "index": index}
    state["refuses"] = refuses
    if python is not None:
        return [python, "-I", PROGRAM, program.OPTION + json.dumps(state)]
    flags, text = python_flags(recorded_trees()), json.dumps({**state, **search()})
    return [sys.executable, *flags, PROGRAM, program.OPTION + text]


def run(
    arguments: Sequence[str],
    policy: Policy,
    *,
    prog: str,
    pip: str | None = None,
    raw_output: bool = False,
    ready: Callable[[], object] | None = None,
) -> Outcome:
    """Run pip's command line in this process.

    :param pip, raw_output: as :func:`pip_command`
    :param ready: ``run`` calls it after pip's parser has accepted the arguments and before the command runs
    :raises IsolatedHooksError: this pip cannot run with its hooks in a sandbox
    """
    _forget_working_directory()
    with Records() as records, own_temporary_files(arguments):
        state = _state(policy, pip, records, raw_output)
        os.environ[program.STATE] = json.dumps({**state, "parent": os.getpid()})
        program.find_packages(state["packages"])
        sys.argv[0] = prog
        return Outcome(main(arguments, state, ready=ready), records.read())


@contextmanager
def embedded(policy: Policy) -> Iterator[list[HookReport]]:
    """Sandbox the hooks of a program that uses pip within its own process, as pip-tools does.

    It changes the whole process until the end of the context.

    :return: a list with one report for each hook. At its end, the context adds the reports of pips that pip started.
    :raises SwapError: this pip cannot run with its hooks in a sandbox
    """
    with Records() as records, Restoring() as changes:
        state = _state(policy, None, records, raw_output=True)
        changes.item(os.environ, program.STATE, json.dumps(state))
        runner = PipRunner(policy, state["packages"].values())
        try:
            with swapped(runner, PROGRAM, alone=False, raw_output=True):
                yield runner.reports
        finally:
            runner.reports.extend(records.read().reports)


def _state(policy: Policy, pip: str | None, records: Records | None, raw_output: bool) -> dict[str, Any]:
    loaded = [name for name in _PACKAGES if name in sys.modules]
    packages = {name: _above(sys.modules[name].__file__) for name in loaded}
    packages["pip"] = _pip_here() if pip is None else _pip_in(absolute(pip))
    path = records.path if records else None
    return {"policy": policy.to_dict(), "packages": packages, "records": path, "raw_output": raw_output}


def _pip_here() -> str:
    here = os.getcwd()
    root = _find_pip([entry for entry in sys.path if entry not in ("", here)])
    if root is None:
        raise PolicyError(
            f"{visible(sys.executable)!r}, which runs isolated-hooks, has no pip. Remedy: run "
            f"{visible(sys.executable)} -m ensurepip, or name a wheel of pip"
        )
    return root


def _pip_in(path: str) -> str:
    root = _find_pip([path])
    if root is None:
        raise PolicyError(
            f"there is no pip in {visible(path)!r}. Remedy: name a wheel of pip, or the directory that contains pip"
        )
    return root


def _find_pip(path: Sequence[str]) -> str | None:
    spec = PathFinder.find_spec("pip", path)
    return _above(spec.origin) if spec is not None and spec.origin is not None else None


def _above(file: str | None) -> str:
    """Return the directory or archive that contains the package with this ``__init__.py``."""
    return os.path.dirname(os.path.dirname(os.path.abspath(file or "")))


def _forget_working_directory() -> None:
    """Remove the working directory from ``sys.path``, as pip does: ``python -m`` puts it first."""
    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
