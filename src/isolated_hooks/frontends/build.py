"""pypa/build's own command line, with its hook caller swapped."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import build.__main__
import build.env
import build.util

from ..errors import IsolatedHooksError
from ..policy import Policy
from ..report import HookReport
from ..swapping import swap
from .environment import SandboxedEnv, unknown_build

__all__ = ["environments", "own_error", "parser", "run", "swapped"]


def parser(prog: str) -> argparse.ArgumentParser:
    """Return build's own parser, to print its help from."""
    theirs: argparse.ArgumentParser = build.__main__.main_parser()
    theirs.prog = prog
    return theirs


@contextmanager
def swapped(policy: Policy) -> Iterator[list[HookReport]]:
    """Have everything that constructs ``pyproject_hooks.BuildBackendHookCaller`` get ours, and give its reports.

    build looks the class up in its module at every use, and not at all for ``--version``, say.
    """
    with swap("pyproject_hooks", policy, unused_ok=True) as made:
        yield made.reports


@contextmanager
def environments(policy: Policy, reports: list[HookReport] | None = None) -> Iterator[None]:
    """Have build's command line, and its functions that make an environment, make a :class:`SandboxedEnv`.

    The change is of the whole process.

    :param reports: where a report for each hook of a build requirement is put
    :raises SandboxUnavailableError: this version of build makes its environments in another way
    """
    original = build.env.DefaultIsolatedEnv
    places = (build.env, build.__main__, build.util)
    if any(getattr(place, "DefaultIsolatedEnv", None) is not original for place in places):
        raise unknown_build()

    class Env(SandboxedEnv):
        def __init__(self, **options: Any) -> None:
            super().__init__(policy=policy, **options)
            self.reports = [] if reports is None else reports

    for place in places:
        place.DefaultIsolatedEnv = Env  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for place in places:
            place.DefaultIsolatedEnv = original  # type: ignore[attr-defined]


def run(arguments: Sequence[str], policy: Policy, *, prog: str) -> tuple[int, list[HookReport]]:
    """Run build's command line and return its exit code and a report for each hook.

    :raises IsolatedHooksError: what stopped the build was of this package
    """
    with swapped(policy) as reports, environments(policy, reports):
        try:
            build.__main__.main(arguments, prog)
        except SystemExit as end:
            problem = own_error(end)
            if problem is not None:
                raise problem from None
            return end.code if isinstance(end.code, int) else int(end.code is not None), reports
    return 0, reports


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
