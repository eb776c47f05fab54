"""Where pip is changed so that nothing of a project runs outside a hook, and no hook outside a sandbox.

Every change is undone at the end. A pip in which one of these places is missing is refused: it would be run without
knowing what it does.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from ...errors import IsolatedHooksError, PolicyError, SwapError
from ...files.paths import is_within
from ...files.trees import remove_path
from ...policy import Policy
from ...runner import IsolatedRunner
from ...swapping import swap
from ...text import visible
from ..restore import Restoring
from .output import FilteringSubprocess
from .saving import SavingShutil, link_out_of

__all__ = ["PipRunner", "swapped"]

_CALLER = "pip._internal.req.req_install:ConfiguredBuildBackendHookCaller"
_COMMANDS = ("download", "install", "wheel")
# What makes the command lines of setup.py, in pip before 25.3.
_LEGACY = "pip._internal.utils.setuptools_build"
_PYTHON = re.compile(r"(python|pypy)[0-9.]*t?d?m?")


class PipRunner(IsolatedRunner):
    """Tells pip of this package's errors as pip's own, and remembers them, because pip does not always show them.

    :param trusted: where pip and this package are, which no hook may change
    :ivar problems: what was raised, in order
    :ivar running: the hook calls that are under way
    :ivar trees: real paths of where hooks could write
    """

    def __init__(self, policy: Policy, trusted: Iterable[str]) -> None:
        super().__init__(policy)
        self._trusted = [os.path.realpath(path) for path in trusted]
        self.problems: list[IsolatedHooksError] = []
        self.running: list[Sequence[str]] = []
        self.trees = {os.path.realpath(path) for path in policy.writable}

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        """As :meth:`IsolatedRunner.__call__`, with pip's ``InstallationError`` for each error of this package."""
        self.running.append(cmd)
        source = os.path.realpath(cwd or ".")
        self.trees.add(source)
        try:
            self._check(source)
            super().__call__(cmd, cwd, extra_environ)
        except IsolatedHooksError as problem:
            self.problems.append(problem)
            raise _installation_error(str(problem)) from problem
        finally:
            self.running.pop()

    def _check(self, source: str) -> None:
        kept = [os.path.realpath(prefix) for prefix in (sys.prefix, sys.base_prefix)]
        for path in self._trusted:
            if is_within(path, source) and not any(is_within(path, prefix) for prefix in kept):
                raise PolicyError(
                    f"{visible(path)!r}, which is run outside of the sandbox, lies in the source tree "
                    f"{visible(source)!r}, where a hook could change it: move it elsewhere"
                )


def _installation_error(text: str) -> Exception:
    error: Exception = importlib.import_module("pip._internal.exceptions").InstallationError(text)
    return error


@contextlib.contextmanager
def swapped(runner: PipRunner, runnable: str, *, alone: bool, raw_output: bool) -> Iterator[None]:
    """Have all that pip builds in this process built through ``runner``, and the pips that it starts run ``runnable``.

    :param alone: this process does nothing else, so that nothing else may be started by Python
    :param raw_output: leave what hooks print as it is
    :raises SwapError: this pip has not what is to be changed
    """
    modules = _load()
    with Restoring() as changes:
        changes.enter_context(swap(_CALLER, runner=runner, unused_ok=True))
        seams = [*_seams(modules, runnable), *(() if raw_output else _output_seams(runner))]
        # Of another program it is not known that it has resolved the links of the user's own in these paths.
        seams += _saving_seams() if alone else ()
        for owner, name, value in seams:
            changes.attribute(owner, name, value)
        # In this order: it is idle as long as it has no runner.
        changes.attribute(_the_watch(), "runnable", runnable if alone else None)
        changes.attribute(_the_watch(), "runner", runner)
        yield


def _load() -> list[ModuleType]:
    """Import whatever of pip runs something, and return all of pip that is loaded."""
    try:
        importlib.import_module("pip._internal.cli.main_parser")
        importlib.import_module("pip._internal.build_env")
        for name in _COMMANDS:
            importlib.import_module(f"pip._internal.commands.{name}")
    except ImportError as error:
        raise _unsupported(f"{error}") from error
    return [module for name, module in list(sys.modules.items()) if name.startswith("pip._internal.")]


def _unsupported(reason: str) -> SwapError:
    version = getattr(sys.modules.get("pip"), "__version__", "that was found")
    return SwapError(
        f"pip {version} is not one that can be run with its hooks in a sandbox: {reason}. Use pip 23 to 26"
    )


def _seams(modules: Sequence[ModuleType], runnable: str) -> Iterator[tuple[Any, str, Any]]:
    """Yield what to set, where, and to what."""
    starters = [module for module in modules if hasattr(module, "get_runnable_pip")]
    names = {module.__name__.removeprefix("pip._internal.").split(".")[0] for module in starters}
    if not {"cli", "build_env"} <= names:
        raise _unsupported("it starts further pips in a way that is not known")
    for module in starters:
        yield module, "get_runnable_pip", lambda: runnable
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, FunctionType) and value.__module__ == _LEGACY:
                yield module, name, _refuse_legacy
    requirement = sys.modules["pip._internal.req.req_install"]
    load = getattr(requirement, "load_pyproject_toml", None)
    if load is None:
        raise _unsupported("it reads pyproject.toml in a way that is not known")
    if "use_pep517" in inspect.signature(load).parameters:
        yield requirement, "load_pyproject_toml", _with_hooks(load)
    installer = getattr(sys.modules["pip._internal.build_env"], "SubprocessBuildEnvironmentInstaller", None)
    if installer is not None:
        yield installer, "install", _by_this_interpreter(installer.install)
    # What pip has unpacked is what the hooks have made of it.
    temporary = sys.modules.get("pip._internal.utils.temp_dir")
    if hasattr(temporary, "rmtree"):
        yield temporary, "rmtree", remove_path


def _output_seams(runner: PipRunner) -> Iterator[tuple[Any, str, Any]]:
    module = sys.modules.get("pip._internal.utils.subprocess")
    if getattr(module, "subprocess", None) is not subprocess:
        raise _unsupported("it starts hooks in a way that is not known")
    yield module, "subprocess", FilteringSubprocess(lambda: bool(runner.running))


def _saving_seams() -> Iterator[tuple[Any, str, Any]]:
    for name, into in (("commands.wheel", True), ("operations.prepare", False)):
        module = sys.modules.get(f"pip._internal.{name}")
        if getattr(module, "shutil", None) is not shutil:
            raise _unsupported("it saves wheels in a way that is not known")
        yield module, "shutil", SavingShutil(_installation_error, into=into)


def _refuse_legacy(*_: Any, **__: Any) -> None:
    raise _installation_error(
        "this pip would run setup.py outside of any hook, so without a sandbox, because of --no-use-pep517 or because "
        "the backend has no hook for editable installs. Remedy: leave --no-use-pep517 and --editable out, or use pip "
        "25.3 or newer"
    )


def _with_hooks(load: Callable[..., Any]) -> Callable[..., Any]:
    """Have a project without pyproject.toml built by setuptools' hooks, as pip does by itself since 25.3."""

    @functools.wraps(load)
    def load_pyproject_toml(use_pep517: bool | None, *args: Any, **kwargs: Any) -> Any:
        return load(True if use_pep517 is None else use_pep517, *args, **kwargs)

    return load_pyproject_toml


def _by_this_interpreter(install: Callable[..., None]) -> Callable[..., None]:
    """Refuse to run a pip by the interpreter of a build environment: it would run .pth files before anything else."""

    @functools.wraps(install)
    def guarded(self: Any, requirements: Any, prefix: Any, **kwargs: Any) -> None:
        if getattr(prefix, "venv_executable", None):
            raise _installation_error(
                "with --use-feature venv-isolation pip installs build requirements by the interpreter of the build "
                "environment, which runs their .pth files without a sandbox. Remedy: leave it out, or add "
                "--use-feature inprocess-build-deps"
            )
        install(self, requirements, prefix, **kwargs)

    return guarded


class _Watch:
    """Refuses whatever this process starts by Python that is neither a hook's sandbox nor a pip with the swap.

    And whatever it would write by a link that a hook may have made.
    """

    def __init__(self) -> None:
        self.runner: PipRunner | None = None
        self.runnable: str | None = None
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.runner is None or self.runner.running:
            return
        if event == "open":
            self._check_written(self.runner.trees, args[0], args[2])
        elif self.runnable is not None and event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
            self._check_started(self.runner, args)

    def _check_written(self, trees: Collection[str], path: object, flags: int) -> None:
        link = link_out_of(trees, path, flags)
        if link is not None:
            raise _installation_error(
                f"{visible(link)!r} leads out of the source tree, and a hook may have made this link, so nothing is "
                "written by it: choose a file outside of the source tree"
            )

    def _check_started(self, runner: PipRunner, args: tuple[Any, ...]) -> None:
        argv = [os.fsdecode(a) for a in (args[1] if isinstance(args[1], (list, tuple)) else [args[1]])]
        program = os.fsdecode(args[0] or argv[0])
        by_python = any(_PYTHON.fullmatch(os.path.basename(path)) for path in (program, os.path.realpath(program)))
        if by_python and argv[1:2] != [self.runnable]:
            problem = SwapError(
                f"pip was about to run {visible(' '.join(argv), limit=300)!r} by Python, outside of any hook that is "
                "known, so without a sandbox: it was not run"
            )
            runner.problems.append(problem)
            raise _installation_error(str(problem)) from problem


@functools.cache
def _the_watch() -> _Watch:
    return _Watch()  # one for all: an audit hook cannot be taken away again
