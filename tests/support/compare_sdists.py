"""Build sdists with and without the sandbox, and compare the wheels byte by byte::

    python tests/support/compare_sdists.py [--seconds N] [NAME[==VERSION] ...]

Without names it takes those in ``compared_sdists.txt``. It needs an index, and compilers for some. Each sdist has one
line: ``same`` (the archives are equal), ``members`` (their members are, and the archives are not), ``unstable`` (what
differs also differs between two builds without the sandbox), ``differs``, ``refused`` (it builds only without the
sandbox), ``fails`` (it builds neither way) or ``none`` (the index has no sdist, or its requirements cannot be had). The
exit code is 1 if there is any ``differs`` or ``refused``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":  # the directory of the package "support"
    sys.path.insert(0, str(Path(__file__).parents[1]))

import pyproject_hooks
from build import BuildException
from build.env import DefaultIsolatedEnv

from isolated_hooks import IsolatedRunner, Policy
from support.corpus_builds import Built, NoNetworkError, Package, Workshop, differing, download, told

LIST = Path(__file__).parent / "compared_sdists.txt"
_BAD = ("differs", "refused")


def main() -> int:
    """Compare them, and print a line for each and the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no further one after so many seconds"
    )
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    os.environ["SOURCE_DATE_EPOCH"] = "1700000000"
    os.umask(0o022)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    for name in options.names or LIST.read_text().split():
        if time.monotonic() - began > options.seconds:
            break
        verdict, detail = _compared(name)
        counts[verdict] += 1
        print(f"{verdict:9} {detail}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
    return 1 if any(counts[verdict] for verdict in _BAD) else 0


def _compared(name: str) -> tuple[str, str]:
    with tempfile.TemporaryDirectory(prefix="sdists-") as made:
        directory = Path(made).resolve()
        try:
            sdist = download(name, directory / "sdist")
        except NoNetworkError as problem:
            return "none", f"{name}: {problem}"
        package = Package(sdist.name.removesuffix(".tar.gz"), "", "")
        with DefaultIsolatedEnv(installer="pip") as env:
            workshop = Workshop(package, sdist, env, directory)
            try:
                workshop.equip(env)
            except Exception as problem:
                bare = _attempt(lambda: workshop.build(pyproject_hooks.quiet_subprocess_runner))
                verdict = "none" if isinstance(bare, Exception) else "refused"
                return verdict, f"{sdist.name}: its requirements: {_words(problem)}"
            return _verdict(sdist.name, workshop)


def _verdict(name: str, workshop: Workshop) -> tuple[str, str]:
    runner = IsolatedRunner(Policy(deep_check=True), pyproject_hooks.quiet_subprocess_runner)
    times = [time.monotonic()]
    plain = _attempt(lambda: workshop.build(pyproject_hooks.quiet_subprocess_runner))
    times.append(time.monotonic())
    sandboxed = _attempt(lambda: workshop.build(runner))
    times.append(time.monotonic())
    shown = f"{name} ({times[1] - times[0]:.1f} s, {times[2] - times[1]:.1f} s)"
    if isinstance(plain, Exception):
        return "fails", f"{shown}: {_words(plain)}"
    if isinstance(sandboxed, Exception):
        return "refused", f"{shown}: {_words(sandboxed)}"
    if plain.digest == sandboxed.digest and plain.requires == sandboxed.requires:
        return "same", shown
    differences = differing(plain.members, sandboxed.members)
    again = workshop.build(pyproject_hooks.quiet_subprocess_runner)
    left = differences - differing(plain.members, again.members)
    if left or plain.wheel != sandboxed.wheel or plain.requires != sandboxed.requires:
        return "differs", f"{shown}\n{told(left, plain.members, sandboxed.members)}"
    if differences or plain.digest != again.digest:
        return "unstable", shown
    return "members", shown


def _attempt(build: Callable[[], Built]) -> Built | Exception:
    try:
        return build()
    except Exception as problem:
        return problem


def _words(problem: Exception) -> str:
    inner = getattr(problem, "exception", problem) if isinstance(problem, BuildException) else problem
    output = getattr(inner, "output", None) or getattr(inner, "stdout", None) or b""
    lines = (output if isinstance(output, str) else output.decode(errors="replace")).strip().splitlines()
    last = [line for line in lines if "error" in line.lower()][-3:] or lines[-3:]
    kind = "" if isinstance(inner, subprocess.CalledProcessError) else f"{type(inner).__name__}: {inner}"
    return " | ".join((*filter(None, (kind,)), *last))[:600]


if __name__ == "__main__":
    sys.exit(main())
