"""The lane: run the attacks against each mutant, and print what noticed it, or why nothing does.

``python tests/support/mutation/lane.py [PART...]``, with the parts seccomp, landlock, plan and results; all of them by
default. ``PART:WORD`` takes only the mutants whose names contain the word. The exit code is 1 if a mutant survives
without a reason, and 0 otherwise.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, os.fspath(Path(__file__).parents[2]))

from support.mutation.mutants import ATTACKS, CONFINED, PACKAGE, PARTS, PLAN_KEY, Mutant, operations
from support.mutation.reasons import reason_of
from support.repository import ROOT, TESTS

__all__ = ["Copy", "main"]

# A mutant may signal every process that it can reach, as pid 1 does with kill(2) of -1 at the end of a hook. So each
# one runs in a PID namespace of its own, and in a mount namespace whose mounts nobody else sees.
_CONTAINED = ("unshare", *(() if os.geteuid() == 0 else ("--user", "--map-current-user")), "--pid", "--fork",
              "--kill-child", "--mount-proc")  # fmt: skip
# The sandbox's own PID namespace counts from 1 too, and some attacks look for numbers of processes outside.
_NUMBERS = ("sh", "-c", 'i=0; while [ $i -lt 400 ]; do (:); i=$((i+1)); done; exec "$@"', "sh")
_ATTACK = TESTS / "support" / "mutation" / "attack.py"
_SECONDS = 600
# Writes what the plan of the hook contains to a file, from the child.
_RECORDING = """
_plain = from_wire
def from_wire(name, values):
    operation = _plain(name, values)
    with open(%r, "a") as file:
        file.write(repr((name, os.fsdecode(operation.target), bool(getattr(operation, "writable", False)))) + "\\n")
    return operation
"""


class Copy:
    """A copy of the package, with one mutant at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.package = directory / "isolated_hooks"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))

    @contextlib.contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """Change the module, and put it back at the end."""
        path = self.package / mutant.module
        source = path.read_text()
        try:
            self._write(path, mutant.apply(source))
            yield
        finally:
            self._write(path, source)

    def _write(self, path: Path, source: str) -> None:
        path.write_text(source)
        # Two sources of one second and one size have the same bytecode for Python.
        for cached in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            cached.unlink()

    def noticed(self, mutant: Mutant) -> str:
        """Return what noticed a mutant, or an empty text if nothing did."""
        for tier in {ATTACKS, CONFINED} & {*mutant.oracles}:
            self.baseline(tier)
        with self.mutated(mutant):
            return next(filter(None, map(self._ask, mutant.oracles)), "")

    def _ask(self, oracle: str) -> str:
        if oracle in (ATTACKS, CONFINED):
            succeeded = self.attacks(oracle)
            if succeeded is None:
                return "attacks: the hook does not run"
            return ", ".join(f"attack {name}" for name in sorted(succeeded - self.baseline(oracle)))
        return self._failed(oracle)

    @functools.cache  # noqa: B019, as long-lived as the run
    def baseline(self, tier: str) -> frozenset[str]:
        """Return the attacks that succeed without a mutation. Call it before the first one."""
        succeeded = self.attacks(tier)
        if succeeded is None:
            raise RuntimeError(f"without a mutation, the hook of {tier} does not run")
        return succeeded

    def attacks(self, tier: str) -> frozenset[str] | None:
        """Return the attacks that succeed now, or ``None`` if the hook does not run."""
        done = self._python(os.fspath(_ATTACK), os.fspath(self.directory), tier)
        try:
            return frozenset(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else None
        except (IndexError, ValueError):
            return None

    def _failed(self, tests: str) -> str:
        done = self._python("-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", tests)
        if done.returncode == 0:
            return ""
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        return f"test {failed[1]}" if failed else f"test {tests}"

    def check(self, tests: Sequence[str]) -> None:
        """Raise RuntimeError unless the tests are contained, use this copy, and pass without a mutation."""
        code = (
            "import isolated_hooks, os; print(isolated_hooks.__file__, os.getpid(), os.readlink('/proc/self/ns/pid'))"
        )
        imported, pid, namespace = (self._python("-c", code).stdout.split() or ["nothing", "0", ""])[:3]
        if pid != "1" or namespace == os.readlink("/proc/self/ns/pid"):
            raise RuntimeError("no PID namespace: a mutant could end every process of this user, so none is run")
        if not imported.startswith(os.fspath(self.directory)):
            raise RuntimeError(f"the tests would import {imported!r}, expected the copy")
        code = (
            "import sys; from support.projects import run_text; "
            "print(run_text([sys.executable, '-c', 'import isolated_hooks; print(isolated_hooks.__file__)']).stdout)"
        )
        imported = self._python("-c", code).stdout.strip()
        if not imported.startswith(os.fspath(self.directory)):
            raise RuntimeError(f"the commands that tests start would import {imported!r}, expected the copy")
        failed = [failure for failure in map(self._failed, tests) if failure]
        if failed:
            raise RuntimeError(f"without a mutation, these fail: {', '.join(failed)}")

    def operations(self) -> list[tuple[str, str, bool]]:
        """Return the kind, the target without random names, and whether the hook may write there, of a plan's."""
        record = self.directory / "operations"
        recording = Mutant(
            part="plan", name="", module="sandbox/operations.py", addition=_RECORDING % os.fspath(record)
        )
        with self.mutated(recording):
            self.attacks(ATTACKS)
        rows = [eval(line) for line in record.read_text().splitlines()]
        return list(dict.fromkeys((kind, re.sub(PLAN_KEY, "*", target), writes) for kind, target, writes in rows))

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        paths = f"{self.directory}{os.pathsep}{TESTS}"
        environ = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "0"}
        environ["ISOLATED_HOOKS_MUTANT"] = os.fspath(self.directory)
        command = [*_CONTAINED, *_NUMBERS, sys.executable, *arguments]
        try:
            return subprocess.run(
                command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, "", "did not end")


def _chosen(copy: Copy, arguments: Sequence[str]) -> list[Mutant]:
    chosen: list[Mutant] = []
    for argument in arguments or PARTS:
        part, _, word = argument.partition(":")
        mutants = list(PARTS[part]())
        if part == "plan":
            mutants += operations(copy.operations())
        chosen += [mutant for mutant in mutants if word in mutant.name]
    return chosen


def main(arguments: Sequence[str]) -> int:
    """Run the parts, and return the exit code."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="isolated-hooks-mutants-") as name:
        os.chmod(name, 0o755)
        copy = Copy(Path(os.path.realpath(name)))
        chosen = _chosen(copy, arguments)
        oracles = dict.fromkeys(oracle for mutant in chosen for oracle in mutant.oracles)
        copy.check([oracle for oracle in oracles if oracle not in (ATTACKS, CONFINED)])
        for tier in {ATTACKS, CONFINED} & oracles.keys():
            copy.baseline(tier)
        for mutant in chosen:
            by = copy.noticed(mutant)
            reason = "" if by else reason_of(mutant.part, mutant.name)
            kind = by.partition(" ")[0].rstrip(":") if by else "survived, with a reason" if reason else "SURVIVED"
            counts[kind.replace("attacks", "attack")] += 1
            print(f"{mutant.part}: {mutant.name}: {by or f'{kind}: {reason}'.rstrip(': ')}", flush=True)
    print(f"{len(chosen)} mutants: {', '.join(f'{kind} {count}' for kind, count in sorted(counts.items()))}")
    return 1 if counts["SURVIVED"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
