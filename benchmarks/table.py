"""The whole table of what the sandbox costs, in one command: text, or JSON, in under a quarter of an hour.

Quote the ratios: each is the median of alternating runs in this one command, by the clock, and then by processor time.
``--quick`` measures the rows that take seconds; ``--check`` compares them with the committed table, and ends with 1 if
one has become worse by more than a quarter on the same kind of machine. Where other programs run too, the figures by
the clock mean nothing, and only the processor times are shown and compared::

    python benchmarks/table.py --install               # needs root on Debian for bubblewrap
    python benchmarks/table.py --json benchmarks/table.json
    nox -s bench                                       # --quick --check
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import measures

TABLE = Path(__file__).with_name("table.json")
# A loss of more than this share fails. Noise alone causes smaller ones, even in ratios.
_LOSS = 0.25
_CALLER = "from isolated_hooks import IsolatedHookCaller"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    :ivar name: what is measured, and against what
    :ivar unit: ``x``, ``ms`` or ``MB``
    :ivar goal: the most that it should be
    :ivar measure: measures it in so many runs
    :ivar runs: how many
    :ivar quick: it is in the quick form too
    :ivar clock_alone: processor time does not tell anything
    """

    name: str
    unit: str
    goal: float
    measure: Callable[[int], measures.Figures]
    runs: int = 15
    quick: bool = False
    clock_alone: bool = False


ROWS = (
    Row("import isolated_hooks, against pyproject_hooks and packaging", "x", 1.15,
        lambda n: measures.imported(n, "import isolated_hooks"), 21, True),
    Row("import of IsolatedHookCaller, against the same", "x", 1.15,
        lambda n: measures.imported(n, _CALLER), 21, True),
    Row("empty hook, default runner: added against bwrap's", "x", 0.6,
        lambda n: measures.empty(n, own=False, warm=True), clock_alone=True),
    Row("the same, cold", "x", 2.5, lambda n: measures.empty(n, own=False, warm=False), clock_alone=True),
    Row("the same, a runner of the frontend's own", "x", 1.0,
        lambda n: measures.empty(n, own=True, warm=True), 15, True, True),
    Row("setuptools build_wheel against bare", "x", 1.03, lambda n: measures.wheel(n, compiled=False), 9, True),
    Row("C extension build_wheel against bare", "x", 1.02, lambda n: measures.wheel(n, compiled=True), 7),
    Row("isolated-hooks build -n -w against python -m build -n -w", "x", 1.05,
        lambda n: measures.build(n, "-n", "-w"), 9, True, True),
    Row("isolated-hooks build against python -m build", "x", 0.9, measures.build, 3, clock_alone=True),
    Row("launch of an empty command, in python -I -S -c pass", "x", 2.0, measures.launch, 15, True),
    Row("100,000 files in the tree in place of 10", "ms", 3, lambda n: measures.grown(n, "files"), clock_alone=True),
    Row("1,000 mounts more", "ms", 3, lambda n: measures.grown(n, "mounts"), clock_alone=True),
    Row("1,600 processes more", "ms", 3, lambda n: measures.grown(n, "processes"), 5, clock_alone=True),
    Row("32 hooks at once, against bwrap", "x", 1.0, measures.at_once, 3, clock_alone=True),
    Row("first call of a process, on top of later ones", "ms", 10, measures.first_call, 7, clock_alone=True),
    Row("first call, a runner of the frontend's own", "ms", 10,
        lambda n: measures.first_call(n, runner="quiet"), 7, clock_alone=True),
    Row("memory of our own processes for one hook", "MB", 12, measures.memory, 3),
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Return the kind of this machine: figures of different kinds are not compared."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return {
        "processor": f"{len(os.sched_getaffinity(0))} x {model}",
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        "user": "root" if os.geteuid() == 0 else "ordinary user",
    }


def is_busy() -> bool:
    """Return whether other programs use the processors of this machine."""
    return os.getloadavg()[0] > 0.5 * len(os.sched_getaffinity(0))


def measured(row: Row, *, busy: bool) -> dict[str, Any]:
    """Return a row's figures, or why there are none."""
    entry: dict[str, Any] = {"name": row.name, "unit": row.unit, "goal": row.goal}
    if busy and row.clock_alone:
        return {**entry, "value": None, "processor": None, "reason": "other programs run here"}
    try:
        value, processor = row.measure(row.runs)
        processor = None if processor is None else round(processor, 2)
        if busy and processor is not None:
            return {**entry, "value": None, "processor": processor, "reason": "other programs run here"}
        return {**entry, "value": round(value, 2), "processor": processor}
    except measures.Unmeasured as reason:
        return {**entry, "value": None, "processor": None, "reason": str(reason)}


def text_of(entry: Mapping[str, Any]) -> str:
    """Return a row as a line."""
    value, processor = entry["value"], entry["processor"]
    shown = "" if processor is None else f"processor time {processor:.2f} {entry['unit']}"
    if value is None:
        return f"  {entry['name']:62} not measured: {entry['reason']}  {shown}".rstrip()
    met = "met" if value <= entry["goal"] else "missed"
    return f"  {entry['name']:62} {value:8.2f} {entry['unit']:2}  goal {entry['goal']:5g}  {met:6}  {shown}".rstrip()


def losses(
    entries: list[dict[str, Any]], committed: Mapping[str, Any], figure: str = "value"
) -> list[tuple[str, float, float]]:
    """Return the rows that have become worse by more than a quarter, each with the old and the new figure.

    :param figure: ``value``, the one by the clock, or ``processor``
    """
    old = {row["name"]: row[figure] for row in committed["rows"]}
    pairs = [(e, old.get(e["name"]), e[figure]) for e in entries]
    known = [(e, before, now) for e, before, now in pairs if before is not None and now is not None]
    return [(e["name"], before, now) for e, before, now in known if now > before + _margin(before, e["unit"])]


def _margin(before: float, unit: str) -> float:
    """Return what a figure may become worse. A difference of two times can be about nothing, or less."""
    return max(abs(before) * _LOSS, 3.0 if unit == "ms" else 0.0)


def check(entries: list[dict[str, Any]], *, busy: bool) -> int:
    """Compare with the committed table, and return the exit code. A row that has lost is measured once more."""
    committed, figure = json.loads(TABLE.read_text()), "processor" if busy else "value"
    if committed["machine"] != machine():
        print(f"the committed table is of another kind of machine ({committed['machine']}): nothing to compare")
        return 0
    again = {name for name, *_ in losses(entries, committed, figure)}
    lost = losses([measured(row, busy=busy) for row in ROWS if row.name in again], committed, figure)
    for name, before, now in lost:
        print(f"{name}: {now:.2f}, in the committed table {before:.2f}")
    return 1 if lost else 0


def install_bubblewrap() -> None:
    """Install Debian's package, where it is missing."""
    if shutil.which("bwrap") is None:
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", "bubblewrap"], check=True)


def main() -> int:
    """Measure, print, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the rows that take seconds")
    parser.add_argument("--check", action="store_true", help="compare with the committed table")
    parser.add_argument("--json", metavar="PATH", help="write the table as JSON, too")
    parser.add_argument("--only", metavar="WORD", default="", help="only the rows whose name contains a word")
    parser.add_argument("--install", action="store_true", help="install bubblewrap with apt-get if it is missing")
    arguments = parser.parse_args()
    if arguments.install:
        install_bubblewrap()
    today, kind = time.strftime("%Y-%m-%d", time.gmtime()), machine()
    print(f"{today}, {kind['processor']}, Linux {kind['kernel']}, Python {kind['python']}, {kind['user']}")
    busy = is_busy()
    entries = []
    for row in ROWS:
        if arguments.only in row.name and (row.quick or not arguments.quick):
            entries.append(measured(row, busy=busy))
            print(text_of(entries[-1]), flush=True)
    if arguments.json:
        document = {"date": today, "machine": kind, "rows": entries}
        Path(arguments.json).write_text(json.dumps(document, indent=2) + "\n")
    return check(entries, busy=busy) if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
