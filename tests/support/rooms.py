"""Print the coverage of each room, from the data that ``nox -s gate`` has combined, and fail below the floors.

    python tests/support/rooms.py

A room is a folder of the package; the modules beside the folders are the facade. Lines and branches count alike.
``sandbox`` is left out: it runs in children that load nothing else, and attacks and real hooks test it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import coverage

#: The least that each room has as root, rounded down. ``.ci/run`` measures the unit tests, the attacks on results,
#: and some tests of real calls, and no others; ``nox -s full`` measures every test, so it reaches more. Raise a number
#: once it is higher. The last five have to stay above 95.
FLOORS = {
    "facade": 90,
    "cli": 70,
    "frontends": 59,
    "many": 84,
    "selftest": 90,
    "launchers": 76,
    "observe": 92,
    "provenance": 95,
    "network": 57,
    "run": 98,
    "results": 98,
    "policy": 99,
    "plan": 96,
    "files": 98,
}


def main() -> int:
    """Print the table, and return 1 if a room is below its floor."""
    counted: dict[str, list[int]] = {}
    for path, covered, all_ in _files():
        inside = path.partition("isolated_hooks/")[2].split("/")
        room = counted.setdefault(inside[0] if len(inside) > 1 else "facade", [0, 0])
        room[0] += covered
        room[1] += all_
    low = [room for room in counted if 100 * counted[room][0] < FLOORS.get(room, 100) * counted[room][1]]
    for room in sorted(counted, key=[*FLOORS].index):
        covered, all_ = counted[room]
        print(f"{room:12} {100 * covered / all_:6.2f} %  floor {FLOORS[room]} %{'  TOO LOW' if room in low else ''}")
    return 1 if low else 0


def _files() -> list[tuple[str, int, int]]:
    """Return each measured file, with the number of its lines and branches that ran, and of all of them."""
    measured = coverage.Coverage()
    measured.load()
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        measured.json_report(outfile=report.name)
        files = json.loads(Path(report.name).read_text())["files"]
    summaries = [(path, file["summary"]) for path, file in files.items()]
    return [
        (path, s["covered_lines"] + s["covered_branches"], s["num_statements"] + s["num_branches"])
        for path, s in summaries
        if s["num_statements"]
    ]


if __name__ == "__main__":
    sys.exit(main())
