"""What a hook call costs more in a large source tree, and on a host with many mounts: it should be next to nothing.

Processes that differ in one thing alone make the same call in turn, so that a machine whose speed drifts slows them
alike. Quote the differences, and the first calls apart from the later ones: root looks once at the owners of a tree.
The mounts are made in a mount namespace of the benchmark's own, which takes root::

    python benchmarks/growth.py -n 15
    python benchmarks/growth.py -n 15 --json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyproject_hooks

from isolated_hooks import IsolatedRunner
from isolated_hooks.sandbox import syscalls

BACKEND = "def get_requires_for_build_wheel(config_settings=None):\n    return []\n"
FILES, FILES_OF_A_DIRECTORY, MOUNTS = 100_000, 100, 1_000


def quiet(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    """Run a command without its output."""
    environ = {**os.environ, **(extra_environ or {})}
    subprocess.run(cmd, cwd=cwd, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def processor_time() -> float:
    """Return the seconds that this process and its ended children have run."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


@dataclasses.dataclass(frozen=True)
class Call:
    """What one call took, in milliseconds."""

    wall: float
    processor: float


def serve(source: str) -> None:
    """Make a call for each line of the standard input, and print what it took."""
    runner = IsolatedRunner(inner=quiet)
    for _ in sys.stdin:
        began, used = time.perf_counter(), processor_time()
        pyproject_hooks.BuildBackendHookCaller(source, "measured", ["."], runner).get_requires_for_build_wheel()
        print(1000 * (time.perf_counter() - began), 1000 * (processor_time() - used), flush=True)


class Caller:
    """A process of its own that makes calls."""

    def __init__(self, source: Path, *options: str) -> None:
        command = [sys.executable, __file__, "--serve", str(source), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def call(self) -> Call:
        """Make a call."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return Call(*map(float, self.process.stdout.readline().split()))

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def make_tree(top: Path, files: int) -> Path:
    """Make a source tree."""
    top.mkdir()
    (top / "measured.py").write_text(BACKEND)
    for number in range(files):
        if number % FILES_OF_A_DIRECTORY == 0:
            directory = top / f"part{number // FILES_OF_A_DIRECTORY // 30}" / f"d{number}"
            directory.mkdir(parents=True)
        (directory / f"file{number}").touch()
    return top


def add_mounts(directory: str) -> None:
    """Enter a mount namespace, and mount a directory many times beneath it."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_private()
    for number in range(MOUNTS):
        point = os.path.join(directory, str(number))
        os.mkdir(point)
        syscalls.mount(b"tmpfs", os.fsencode(point), b"tmpfs", 0, b"size=4k,nr_inodes=4")


def compare(name: str, small: Caller, large: Caller, count: int) -> dict[str, object]:
    """Return the medians of both, and of the differences, after the first call of each, which is given apart."""
    first = small.call(), large.call()
    calls = [(small.call(), large.call()) for _ in range(count)]
    small.close()
    large.close()
    row: dict[str, object] = {"growth": name, "calls": count}
    for unit in ("wall", "processor"):
        value: Callable[[Call], float] = lambda call, unit=unit: float(getattr(call, unit))  # noqa: E731
        row[unit] = {
            "small": round(statistics.median(value(a) for a, _ in calls), 1),
            "large": round(statistics.median(value(b) for _, b in calls), 1),
            "difference": round(statistics.median(value(b) - value(a) for a, b in calls), 1),
            "first": round(value(first[1]) - value(first[0]), 1),
        }
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=15, metavar="COUNT", help="calls to count (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--mounts", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.mounts:
        add_mounts(arguments.mounts)
    if arguments.serve:
        serve(arguments.serve)
        return
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        small, large = make_tree(top / "small", 10), make_tree(top / "large", FILES)
        rows = [compare(f"{FILES} files instead of 10", Caller(small), Caller(large), arguments.n)]
        if os.geteuid() == 0:
            (top / "mounts").mkdir()
            mounts = Caller(small), Caller(small, "--mounts", str(top / "mounts"))
            rows.append(compare(f"{MOUNTS} mounts more", *mounts, arguments.n))
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(f"{row['growth']}, {row['calls']} calls, ms")
        for unit in ("wall", "processor"):
            print(f"  {unit:10}", *(f"{name} {value}" for name, value in row[unit].items()), sep="  ")  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
