"""pypa/build's own command line, with its hook caller swapped."""

from __future__ import annotations

import argparse
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import build.__main__
import build.env
import build.util

from ...errors import IsolatedHooksError, UntrustedResultError
from ...files.trees import remove_path
from ...policy import Policy
from ...report import HookReport
from ...results.archives.sdists import check_members
from ...runner import IsolatedRunner
from ...swapping import swap
from ...text import visible
from ..filtering import FilteringRunner, text_filtered
from ..restore import Restoring
from .environment import SandboxedEnv, unknown_build

__all__ = ["environments", "own_error", "parser", "run", "swapped"]


def parser(prog: str) -> argparse.ArgumentParser:
    """Return build's own parser, to print its help from."""
    theirs: argparse.ArgumentParser = build.__main__.main_parser()
    theirs.prog = prog
    return theirs


@contextmanager
def swapped(policy: Policy, *, raw_output: bool = True) -> Iterator[list[HookReport]]:
    """Have everything that constructs ``pyproject_hooks.BuildBackendHookCaller`` get ours, and give its reports.

    build looks the class up in its module at every use, and not at all for ``--version``, say.

    :param raw_output: leave what hooks print as it is; otherwise it is filtered, for a command line
    """
    runner = IsolatedRunner(policy) if raw_output else FilteringRunner(policy)
    # What build unpacks it with follows links out of the directory in some versions of Python.
    runner.unpacked = ("build_sdist",)
    with swap("pyproject_hooks", runner=runner, unused_ok=True) as swap_in_force:
        yield swap_in_force.reports


@contextmanager
def environments(policy: Policy, reports: list[HookReport] | None = None) -> Iterator[None]:
    """Have build's command line, and its functions that make an environment, make a :class:`SandboxedEnv`.

    The change is of the whole process.

    :param reports: where a report for each hook of a build requirement is put
    :raises SandboxUnavailableError: this version of build makes its environments in another way
    """
    original = build.env.DefaultIsolatedEnv
    modules = (build.env, build.__main__, build.util)
    if any(getattr(module, "DefaultIsolatedEnv", None) is not original for module in modules):
        raise unknown_build()

    class Env(SandboxedEnv):
        def __init__(self, **options: Any) -> None:
            super().__init__(policy=policy, **options)
            self.reports = [] if reports is None else reports

    with Restoring() as changes:
        for module in modules:
            changes.attribute(module, "DefaultIsolatedEnv", Env)
        guarded = _guarded(vars(build.ProjectBuilder)["from_isolated_env"])
        changes.attribute(build.ProjectBuilder, "from_isolated_env", guarded)
        yield


@contextmanager
def _removing_all() -> Iterator[None]:
    """Have build's command line remove the sdist that it unpacked, whatever the hooks have made of it."""
    with Restoring() as changes:
        if hasattr(build.__main__, "shutil"):  # otherwise this version removes in another way
            ours = SimpleNamespace(**{**vars(shutil), "rmtree": remove_path})
            changes.attribute(build.__main__, "shutil", ours)
        yield


def _guarded(original: Any) -> Any:
    """Refuse every environment that is not ours. build shows it to a builder before it has anything installed."""

    def from_isolated_env(cls: Any, env: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(env, SandboxedEnv):
            raise unknown_build()
        return original.__func__(cls, env, *args, **options)

    return classmethod(from_isolated_env)


def run(
    arguments: Sequence[str], policy: Policy, *, prog: str, raw_output: bool = False
) -> tuple[int, list[HookReport]]:
    """Run build's command line and return its exit code and a report for each hook.

    :param raw_output: leave what is printed as it is, see :mod:`isolated_hooks.outputfilter`
    :raises IsolatedHooksError: what stopped the build was of this package
    """
    # build's own messages hold what pyproject.toml says, which an earlier hook may have written. A document on its
    # standard output is for programs.
    printed = () if raw_output else ("stderr",) if "--metadata" in arguments else ("stdout", "stderr")
    with (
        swapped(policy, raw_output=raw_output) as reports,
        environments(policy, reports),
        _removing_all(),
        text_filtered(*printed),
    ):
        try:
            _check_sdist(build.__main__.main_parser().parse_args(arguments).srcdir, policy)
            build.__main__.main(arguments, prog)
        except SystemExit as end:
            problem = own_error(end)
            if problem is not None:
                raise problem from None
            return end.code if isinstance(end.code, int) else int(end.code is not None), reports
    return 0, reports


def _check_sdist(path: str, policy: Policy) -> None:
    """Look into an sdist that was given in the place of a source tree, which build is going to unpack.

    :raises IsolatedHooksError: it may be unpacked to other places
    """
    if not (path.lower().endswith(".tar.gz") and os.path.isfile(path)):
        return
    try:
        with tarfile.open(path) as sdist:
            sdist.getmembers()
        file = open(path, "rb")  # noqa: SIM115  # closed below
    except Exception:
        return  # nothing is unpacked: build does the same first, and says what is wrong with it
    try:
        with file:
            check_members(file.fileno(), path, limit=policy.limits.output_size)
    except UntrustedResultError as problem:
        raise IsolatedHooksError(
            f"{visible(path)!r} was not unpacked: {problem.rule}{f': {problem.text}' if problem.text else ''}. Remedy: "
            "if you trust it, unpack it yourself and build the directory"
        ) from problem


def own_error(end: BaseException) -> IsolatedHooksError | None:
    """Return the error of this package that made build end, if it was one.

    build wraps whatever a hook caller raises, with the original as ``exception``, prints it, and exits with 1.
    """
    seen: BaseException | None = end
    while seen is not None:
        inner = getattr(seen, "exception", seen)
        if isinstance(inner, IsolatedHooksError):
            return inner
        seen = seen.__cause__ or seen.__context__
    return None
