"""Changes pip so that it runs no code of a project outside a hook, and no hook outside a sandbox.

At its end, the context undoes every change. It refuses a pip that lacks a name that it has to change, because nobody
has checked how such a pip works.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

from ...errors import SwapError
from ...files.steered import Trees, recorded_trees
from ...files.trees import remove_path
from ...policy import Policy
from ...swapping import swap
from ...text import visible
from ..copies import Copies
from ..opening import refusal, refusal_of_change
from ..restore import Restoring
from ..surroundings import Guarded
from .caching import caching_seams
from .further import by_our_rules, is_further_pip
from .output import FilteringSubprocess, filtered_log
from .projects import checking, vetting_dependencies
from .requested import requested_seams
from .runner import PipRunner, installation_error
from .saving import SavingShutil
from .venvs import by_this_interpreter

__all__ = ["swapped"]

_CALLER = "pip._internal.req.req_install:ConfiguredBuildBackendHookCaller"
_COMMANDS = ("download", "install", "wheel")
# In pip before 25.3, this module makes the command lines that run setup.py.
_LEGACY = "pip._internal.utils.setuptools_build"
_PYTHON = re.compile(r"(python|pypy)[0-9.]*t?d?m?")


@contextlib.contextmanager
def swapped(
    runner: PipRunner,
    runnable: str,
    *,
    alone: bool,
    raw_output: bool,
    guard: Guarded | None = None,
    state: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[None]:
    """Make pip call hooks in this process through ``runner``, and run ``runnable`` for each pip that it starts.

    :param alone: whether this process runs only pip. If so, it refuses to start Python for any other purpose.
    :param raw_output: whether to leave the output of hooks unfiltered
    :param guard: guards this process, if it runs only pip
    :param state: may ask for further changes, see :mod:`.requested`
    :raises SwapError: this pip lacks a name that has to be changed
    """
    modules = _load()
    with Restoring() as changes:
        changes.enter_context(swap(_CALLER, runner=runner, unused_ok=True))
        runner.guard = guard
        copies = guard.copies if guard is not None else changes.enter_context(Copies(Trees(())))
        seams = [*_seams(modules, runnable, runner.policy, copies), *_archive_seams(modules, runner, state)]
        if not raw_output:
            seams += _output_seams(runner)
            changes.enter_context(filtered_log())
        # Another program may not have resolved the links that the user has in these paths.
        seams += _saving_seams() if alone else ()
        for owner, name, value in seams:
            changes.attribute(owner, name, value)
        # In this order, because the watch is idle as long as it has no runner.
        changes.attribute(_the_watch(), "runnable", runnable if alone else None)
        changes.attribute(_the_watch(), "runner", runner)
        yield


def _load() -> list[ModuleType]:
    """Import all modules of pip that start processes, and return all loaded modules of pip."""
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
    return SwapError(f"isolated-hooks does not support pip {version}: {reason}. Remedy: use pip 23 to 26")


def _seams(
    modules: Sequence[ModuleType], runnable: str, policy: Policy, copies: Copies
) -> Iterator[tuple[Any, str, Any]]:
    """Yield each change as an owner, the name of its attribute, and the new value."""
    starters = [module for module in modules if hasattr(module, "get_runnable_pip")]
    names = {module.__name__.removeprefix("pip._internal.").split(".")[0] for module in starters}
    if not {"cli", "build_env"} <= names:
        raise _unsupported("it starts further pips in an unknown way")
    for module in starters:
        yield module, "get_runnable_pip", lambda: runnable
        if hasattr(module, "call_subprocess"):
            yield module, "call_subprocess", by_our_rules(module.call_subprocess, runnable, copies)
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, FunctionType) and value.__module__ == _LEGACY:
                yield module, name, _refuse_legacy
    requirement = sys.modules["pip._internal.req.req_install"]
    load = getattr(requirement, "load_pyproject_toml", None)
    if load is None:
        raise _unsupported("it reads pyproject.toml in an unknown way")
    checked = checking(load, policy)
    with_hooks = "use_pep517" in inspect.signature(load).parameters
    yield requirement, "load_pyproject_toml", _with_hooks(checked) if with_hooks else checked
    readers = [module for module in modules if hasattr(module, "install_req_from_req_string")]
    if not any(module.__name__ == "pip._internal.cli.req_command" for module in readers):
        raise _unsupported("it reads dependencies in an unknown way")
    for module in readers:
        vetting = vetting_dependencies(module.install_req_from_req_string, policy)
        yield module, "install_req_from_req_string", vetting
    installer = getattr(sys.modules["pip._internal.build_env"], "SubprocessBuildEnvironmentInstaller", None)
    if installer is not None:
        yield installer, "install", by_this_interpreter(installer.install)
    # Hooks may have changed modes or added links in the trees that pip unpacked and now removes.
    temporary = sys.modules.get("pip._internal.utils.temp_dir")
    if hasattr(temporary, "rmtree"):
        yield temporary, "rmtree", remove_path


def _archive_seams(
    modules: Sequence[ModuleType], runner: PipRunner, state: Mapping[str, Any]
) -> Iterator[tuple[Any, str, Any]]:
    """Yield the changes that keep sdists and wheels from choosing where pip writes, and hooks from choosing wheels."""
    unpackers = [module for module in modules if hasattr(module, "unpack_file")]
    if not any(module.__name__ == "pip._internal.operations.prepare" for module in unpackers):
        raise _unsupported("it unpacks sdists in an unknown way")
    for module in unpackers:
        yield module, "unpack_file", runner.unpack
        for name in ("get_file_url", "_check_download_dir"):
            if hasattr(module, name):
                yield module, name, _of_files(getattr(module, name))
    try:
        yield from caching_seams(keeps_wheels=not state.get("index"))
    except (AttributeError, ImportError):
        raise _unsupported("it caches in an unknown way") from None
    try:
        yield from requested_seams(state)
    except (AttributeError, ImportError):
        raise _unsupported("it finds and fetches packages in an unknown way") from None
    try:
        maker: Any = importlib.import_module("pip._internal.operations.install.wheel").PipScriptMaker
        yield maker, "make", _beside_others(maker.make)
    except (AttributeError, ImportError):
        raise _unsupported("it writes scripts in an unknown way") from None


def _of_files(find: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function of pip that finds an sdist or wheel: pip would wait for a FIFO, or read a device, without end."""

    @functools.wraps(find)
    def wrapper(link: Any, download_dir: str | None = None, *args: Any, **kwargs: Any) -> Any:
        files = [link.file_path] if link.is_file else []
        for path in (*files, *([os.path.join(download_dir, link.filename)] if download_dir else [])):
            if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
                raise installation_error(
                    f"{visible(path, limit=300)!r} is not a package (expected a regular file or a directory, got a "
                    "FIFO, a device or a socket)"
                )
        return find(link, download_dir, *args, **kwargs)

    return wrapper


def _beside_others(make: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the method of pip that writes a script: a wheel names it, and pip before 26.3 takes any path as a name."""

    @functools.wraps(make)
    def make_script(self: Any, specification: str, *args: Any, **kwargs: Any) -> Any:
        if "/" in specification:
            raise installation_error(
                f"the entry point {visible(specification, limit=300)!r} is not that of a script: its name must be a "
                "file name"
            )
        return make(self, specification, *args, **kwargs)

    return make_script


def _output_seams(runner: PipRunner) -> Iterator[tuple[Any, str, Any]]:
    module = sys.modules.get("pip._internal.utils.subprocess")
    if getattr(module, "subprocess", None) is not subprocess:
        raise _unsupported("it starts hooks in an unknown way")
    yield module, "subprocess", FilteringSubprocess(lambda: bool(runner.running))


def _saving_seams() -> Iterator[tuple[Any, str, Any]]:
    for name, into in (("commands.wheel", True), ("operations.prepare", False)):
        module = sys.modules.get(f"pip._internal.{name}")
        if getattr(module, "shutil", None) is not shutil:
            raise _unsupported("it saves wheels in an unknown way")
        yield module, "shutil", SavingShutil(installation_error, into=into)


def _refuse_legacy(*_: Any, **__: Any) -> None:
    raise installation_error(
        "this pip would run setup.py outside of any hook, so without a sandbox, because of --no-use-pep517 or because "
        "the backend has no hook for editable installs. Remedy: drop --no-use-pep517 and --editable, or use pip 25.3 "
        "or newer"
    )


def _with_hooks(load: Callable[..., Any]) -> Callable[..., Any]:
    """Make pip build a project without pyproject.toml with setuptools' hooks, which pip itself does from 25.3 on."""

    @functools.wraps(load)
    def load_pyproject_toml(use_pep517: bool | None, *args: Any, **kwargs: Any) -> Any:
        return load(True if use_pep517 is None else use_pep517, *args, **kwargs)

    return load_pyproject_toml


class _Watch:
    """Refuses to start Python in this process, except for a hook's sandbox or a pip with the swap.

    It also refuses to open what a hook may have made in the place of a file.
    """

    def __init__(self) -> None:
        self.runner: PipRunner | None = None
        self.runnable: str | None = None
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.runner is None or self.runner.running:
            return
        trees = recorded_trees()
        text = refusal(trees, args[0], args[2]) if event == "open" else refusal_of_change(trees, event, args)
        if text is not None:
            raise installation_error(text)
        if self.runnable is not None and event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
            self._check_started(self.runner, args)

    def _check_started(self, runner: PipRunner, args: tuple[Any, ...]) -> None:
        argv = [os.fsdecode(a) for a in (args[1] if isinstance(args[1], (list, tuple)) else [args[1]])]
        program = os.fsdecode(args[0] or argv[0])
        starts_python = any(_PYTHON.fullmatch(os.path.basename(path)) for path in (program, os.path.realpath(program)))
        if starts_python and not is_further_pip(argv, self.runnable or ""):
            problem = SwapError(
                f"pip tried to run {visible(' '.join(argv), limit=300)!r} with Python, outside of any known hook, so "
                "without a sandbox; isolated-hooks did not let it. Remedy: use another version of pip, from 23 to 26"
            )
            runner.problems.append(problem)
            raise installation_error(str(problem)) from problem


@functools.cache
def _the_watch() -> _Watch:
    return _Watch()  # only one per process, because Python cannot remove an audit hook
