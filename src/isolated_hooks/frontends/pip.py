"""pip's own command line, with its hook caller swapped, in every pip that it starts."""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from typing import Any

from ..errors import PolicyError
from ..policy import Policy
from ..report import HookReport
from ..text import visible
from . import piprunner
from .piprecords import Problem, Records, Told, tell
from .pipseams import PipRunner, swapped

__all__ = ["Outcome", "Problem", "Records", "Told", "embedded", "main", "pip_command", "run"]

_RUNNABLE = os.path.abspath(piprunner.__file__)
# What a pip under another interpreter has to find of this one's.
_PACKAGES = ("isolated_hooks", "packaging", "pyproject_hooks")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a command.

    :ivar code: pip's exit code
    :ivar told: what pip, and all pips that it started, have to tell
    """

    code: int
    told: Told


def pip_command(
    policy: Policy,
    *,
    python: str | None = None,
    pip: str | None = None,
    records: Records | None = None,
    raw_output: bool = False,
) -> list[str]:
    """Return the command to which pip's arguments are added, to have it run with all hooks in a sandbox.

    Further pips that it starts, for build requirements that exist as sdists alone or for ``--python``, are run so too.

    :param policy: what hooks may do
    :param python: a trusted interpreter to run it by; it need not have anything installed. ``sys.executable`` where it
        is left out
    :param pip: a wheel or another archive of pip, or a directory that the package is in; that of this interpreter
        where it is left out
    :param records: where it is to tell what its hooks were protected by
    :param raw_output: leave what hooks print as it is, see :mod:`isolated_hooks.outputfilter`
    :raises PolicyError: there is no pip
    """
    state = _state(policy, pip, records, raw_output)
    return [python or sys.executable, _RUNNABLE, piprunner.OPTION + json.dumps(state)]


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
    :param ready: called before the command is run, when its options are known to be ones of pip
    :raises IsolatedHooksError: this pip cannot be run so
    """
    _forget_working_directory()
    with Records() as records:
        state = _state(policy, pip, records, raw_output)
        os.environ[piprunner.STATE] = json.dumps(state)
        piprunner.find_packages(state["packages"])
        sys.argv[0] = prog
        return Outcome(main(arguments, ready=ready), records.read())


def main(arguments: Sequence[str], *, ready: Callable[[], object] | None = None) -> int:
    """Run pip's command line as the inherited state says, and return its exit code.

    :param ready: as :func:`run`
    :raises IsolatedHooksError: this pip cannot be run so
    """
    if ready is not None:
        code = _usage_error(arguments)
        if code is not None:
            return code
        ready()
    state = json.loads(os.environ[piprunner.STATE])
    runner = PipRunner(Policy(**state["policy"]), state["packages"].values())
    with swapped(runner, _RUNNABLE, alone=True, raw_output=state["raw_output"]):
        try:
            code = _run_pip(arguments)
        finally:
            if state["records"]:
                quiet = logging.getLogger().level > logging.INFO and logging.getLogger().hasHandlers()
                tell(state["records"], runner.reports, runner.problems, quiet=quiet)
    return code


@contextmanager
def embedded(policy: Policy) -> Iterator[list[HookReport]]:
    """Have what a program builds by the pip in its own process, as pip-tools does, built in a sandbox.

    The change is of the whole process, and undone at the end of the context.

    :return: a report for each hook; those of the pips that pip starts come at the end of the context
    :raises SwapError: this pip cannot be run so
    """
    with Records() as records:
        state = _state(policy, None, records, raw_output=True)
        before = os.environ.get(piprunner.STATE)
        os.environ[piprunner.STATE] = json.dumps(state)
        runner = PipRunner(policy, state["packages"].values())
        try:
            with swapped(runner, _RUNNABLE, alone=False, raw_output=True):
                yield runner.reports
        finally:
            os.environ.pop(piprunner.STATE)
            if before is not None:
                os.environ[piprunner.STATE] = before
            runner.reports.extend(records.read().reports)


def _run_pip(arguments: Sequence[str]) -> int:
    module = importlib.import_module("pip._internal.cli.main")
    # From 26 on cli() also keeps what was just installed from being imported.
    entry = getattr(module, "cli", module.main)
    try:
        code = entry(list(arguments))
    except SystemExit as end:
        code = end.code
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
    return code if isinstance(code, int) else int(code is not None)


def _usage_error(arguments: Sequence[str]) -> int | None:
    """Let pip's own parser speak first: a usage error is one on any host. Return its exit code, if it is one."""
    if any(argument.partition("=")[0] == "--python" for argument in arguments):
        return None  # for the pip by that interpreter to say: some options depend on what is installed there
    try:
        commands = importlib.import_module("pip._internal.commands")
        position = next(i for i, argument in enumerate(arguments) if argument in commands.commands_dict)
        # What stands before the command may as well stand behind it.
        rest = [*arguments[:position], *arguments[position + 1 :]]
        commands.create_command(arguments[position]).parse_args(rest)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    except (AttributeError, ImportError, StopIteration):
        pass  # another pip than is known, which is refused with the reason when it is to be run
    return None


def _state(policy: Policy, pip: str | None, records: Records | None, raw_output: bool) -> dict[str, Any]:
    loaded = [name for name in _PACKAGES if name in sys.modules]
    packages = {name: _above(sys.modules[name].__file__) for name in loaded}
    packages["pip"] = _pip_here() if pip is None else _pip_in(os.path.abspath(pip))
    told = records.path if records else None
    return {"policy": policy.to_dict(), "packages": packages, "records": told, "raw_output": raw_output}


def _pip_here() -> str:
    here = os.getcwd()
    root = _find_pip([entry for entry in sys.path if entry not in ("", here)])
    if root is None:
        raise PolicyError(
            f"{visible(sys.executable)!r}, which runs isolated-hooks, has no pip. Remedy: {visible(sys.executable)} -m "
            "ensurepip, or name a wheel of pip"
        )
    return root


def _pip_in(path: str) -> str:
    root = _find_pip([path])
    if root is None:
        raise PolicyError(f"there is no pip in {visible(path)!r}: name a wheel of pip, or the directory that it is in")
    return root


def _find_pip(path: Sequence[str]) -> str | None:
    spec = PathFinder.find_spec("pip", path)
    return _above(spec.origin) if spec is not None and spec.origin is not None else None


def _above(file: str | None) -> str:
    """Return what the package lies in whose ``__init__.py`` this is."""
    return os.path.dirname(os.path.dirname(os.path.abspath(file or "")))


def _forget_working_directory() -> None:
    """As pip does: ``python -m`` would have it import what lies there."""
    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
