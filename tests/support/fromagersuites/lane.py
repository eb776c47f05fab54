"""Run fromager's own tests and end-to-end scripts, bare and with every hook in a sandbox, and compare the results::

    python tests/support/fromagersuites/lane.py [--unit | --e2e] [--seconds N] [NAME ...]

It needs Python 3.12 or newer (``--python PATH``), an index, and git, jq, curl and compilers for some scripts. It
downloads fromager's sdist, and keeps nothing of it. Each test that ends differently has one line, with its reason if
:data:`REASONS` has one; the exit code is 1 if one has none. ``--seconds`` begins no further script after that time, and
names choose scripts: ``bootstrap`` is ``test_bootstrap.sh``. Without names, those in :data:`ELSEWHERE` are left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
FROMAGER = "fromager==0.101.0"
#: Why a test ends differently with our class in place.
REASONS = {
    "tests.test_cli::test_registered_eps": "it lists all commands, and isolated-hooks adds one",
}
#: Scripts that need another host than the index: without it, each waits for ten minutes.
ELSEWHERE = frozenset(("bootstrap_cooldown_github", "bootstrap_cooldown_gitlab"))
# The tests need these beside fromager; its extra "test" has them and more.
_TEST = ("pytest", "pytest-xdist", "requests-mock", "spdx-tools", "twine", "hatchling", "hatch-vcs", "setuptools-scm")
_SCRIPT_SECONDS = 600


class Side:
    """One of the two ways to run fromager: an unpacked sdist of its own, and an environment.

    :param wheels: what to install
    """

    def __init__(self, name: str, directory: Path, wheels: Sequence[str]) -> None:
        self.name = name
        self.directory = directory / name
        self.wheels = wheels
        self.environment = directory / f"{name}-environment"
        self.temporary = directory / "tmp"
        self.swapped = name == "sandboxed"

    def environ(self, uv: str, stub: str) -> Mapping[str, str]:
        """Return the variables for fromager's programs."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_"))}
        ours = {
            "FROMAGER_ENVIRONMENT": str(self.environment),
            "FROMAGER_WHEELS": os.pathsep.join(self.wheels),
            "FROMAGER_UV": uv,
            "PATH": os.pathsep.join((str(self.environment / "bin"), stub, os.environ["PATH"])),
            "TMPDIR": str(self.temporary),
        }
        return {**environ, **ours, **({"ISOLATED_HOOKS_FROMAGER": "1"} if self.swapped else {})}


class Suites:
    """Both sides, and what they are run with.

    :param directory: for all files; somebody else removes it
    """

    def __init__(self, directory: Path, python: str) -> None:
        self.directory = directory
        self.hooks = 0  # that ran in a sandbox
        tools = directory / "tools"
        _run([python, "-m", "venv", str(tools)])
        _run([str(tools / "bin/pip"), "install", "--quiet", "uv", "hatchling", "hatch-vcs"])
        self.uv = str(tools / "bin/uv")
        stub = directory / "stub"
        stub.mkdir()
        (directory / "tmp").mkdir()
        hatch = stub / "hatch"
        hatch.write_text(f'#!/bin/sh\nexec "{python}" "{HERE / "hatch.py"}" "$@"\n')
        hatch.chmod(0o755)
        self.stub = str(stub)
        sdist = self._download(tools)
        ours = self._wheel(tools)
        bare = (FROMAGER, *_TEST)
        self.sides = [
            Side("bare", directory, bare),
            Side("sandboxed", directory, (*bare, str(ours))),
        ]
        for side in self.sides:
            with tarfile.open(sdist) as archive:
                archive.extractall(side.directory, filter="data")
            side.directory = next(side.directory.iterdir())
            (side.directory / ".skip-coverage").touch()
            _run([python, str(HERE / "hatch.py"), "env", "create", "e2e"], self._environ(side))

    def _environ(self, side: Side) -> Mapping[str, str]:
        return side.environ(self.uv, self.stub)

    def _download(self, tools: Path) -> Path:
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-binary", "fromager", "--dest")
        _run([str(tools / "bin/pip"), "download", *options, str(self.directory / "sdist"), FROMAGER])
        return next((self.directory / "sdist").glob("*.tar.gz"))

    def _wheel(self, tools: Path) -> Path:
        copy = self.directory / "isolated-hooks"
        left_out = shutil.ignore_patterns(".*", "*.egg-info", "tests", "docs", "benchmarks")
        shutil.copytree(REPOSITORY, copy, ignore=left_out)
        options = ("--quiet", "--no-deps", "--wheel-dir", str(self.directory / "ours"))
        _run([str(tools / "bin/pip"), "wheel", *options, str(copy)])
        return next((self.directory / "ours").glob("*.whl"))

    def unit(self) -> list[dict[str, str]]:
        """Run fromager's unit suite on both sides, and return the outcome of each test."""
        results = []
        for side in self.sides:
            report = self.directory / f"{side.name}.xml"
            options = ["-p", "no:cacheprovider", "--junitxml", str(report), "-q"]
            environ = dict(self._environ(side))
            if side.swapped:
                options += ["-p", "swapped_plugin"]
                environ |= {"PYTHONPATH": str(HERE), "ISOLATED_HOOKS_FROMAGER": "0"}
            began = time.monotonic()
            command = [str(side.environment / "bin/python"), "-m", "pytest", *options]
            subprocess.run(command, cwd=side.directory, env=environ, check=False, stdout=subprocess.DEVNULL)
            results.append(_outcomes(report))
            self._tell(side, results[-1], began)
        return results

    def scripts(self, names: Sequence[str], seconds: float) -> list[dict[str, str]]:
        """Run fromager's scripts on both sides, one after the other: they use one port. Return how each ended."""
        files = sorted(self.sides[0].directory.glob("e2e/test_*.sh"))
        known = {file.stem.removeprefix("test_"): file.name for file in files}
        chosen = [file for name, file in known.items() if name in (names or known.keys() - ELSEWHERE)]
        results: list[dict[str, str]] = [{} for _ in self.sides]
        began = time.monotonic()
        for name in chosen:
            if time.monotonic() - began > seconds:
                break
            for side, result in zip(self.sides, results, strict=True):
                result[name] = self._script(side, name)
            print(f"{name}: " + ", ".join(f"{s.name} {r[name]}" for s, r in zip(self.sides, results, strict=True)))
            sys.stdout.flush()
        for side, result in zip(self.sides, results, strict=True):
            self._tell(side, result, began)
        return results

    def _script(self, side: Side, name: str) -> str:
        log = self.directory / "logs" / f"{side.name}-{name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as output:
            command = ["bash", f"e2e/{name}"]
            process = subprocess.Popen(
                command,
                cwd=side.directory,
                env=self._environ(side),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout=_SCRIPT_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return "timed out"
        if side.swapped:
            self.hooks += log.read_bytes().count(b"ran in a sandbox: ")
        return "passed" if code == 0 else "failed"

    def _tell(self, side: Side, outcomes: Mapping[str, str], began: float) -> None:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(outcomes.values()).items()))
        print(f"{side.name}: {counts} ({time.monotonic() - began:.0f} s)", flush=True)


def _outcomes(report: Path) -> dict[str, str]:
    outcomes = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        name = f"{case.get('classname')}::{case.get('name')}"
        outcomes[name] = {"failure": "failed", "error": "failed", "skipped": "skipped"}.get(
            next(iter(sorted(kinds)), ""), "passed"
        )
    return outcomes


def _compared(bare: Mapping[str, str], sandboxed: Mapping[str, str]) -> int:
    """Print each difference, and return how many have no reason."""
    unexplained = 0
    for name in sorted({*bare, *sandboxed}):
        before, after = bare.get(name, "missing"), sandboxed.get(name, "missing")
        if before != after:
            reason = REASONS.get(name)
            unexplained += reason is None
            print(f"{name}: bare {before}, sandboxed {after}: {reason or 'no reason is known'}")
        elif before not in ("passed", "skipped"):
            print(f"{name}: {before} on both sides")
    return unexplained


def _run(command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env=environ)


def main() -> int:
    """Run the suites, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--unit", action="store_true", help="only the unit suite")
    parser.add_argument("--e2e", action="store_true", help="only the end-to-end scripts")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further script after that time")
    parser.add_argument("--python", default=sys.executable, help="Python 3.12 or newer")
    parser.add_argument("--keep", metavar="DIR", help="keep the logs of the scripts in DIR")
    parser.add_argument("names", nargs="*", metavar="NAME", help="scripts to run, without test_ and .sh")
    options = parser.parse_args()
    unexplained = 0
    with tempfile.TemporaryDirectory(prefix="fromager-suites-", dir="/var/tmp") as made:
        suites = Suites(Path(made).resolve(), options.python)
        if not options.e2e:
            unexplained += _compared(*suites.unit())
        if not options.unit:
            unexplained += _compared(*suites.scripts(options.names, options.seconds))
            print(f"{suites.hooks} hooks of the scripts ran in a sandbox")
        if options.keep and (suites.directory / "logs").is_dir():
            shutil.copytree(suites.directory / "logs", options.keep, dirs_exist_ok=True)
    return 1 if unexplained else 0


if __name__ == "__main__":
    raise SystemExit(main())
