"""The watching process: no limit waits for another one, and each has a bound on what it looks at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isolated_hooks.sandbox import cputime, measures

# One measure never returns, the other one reports at once.
_WATCH = """
import os, threading, time
from isolated_hooks.sandbox import watcher
go, orders = os.pipe()
said, answers = os.pipe()
os.write(orders, b"%d" % os.getpid())
os.dup2(go, 0)
os.dup2(answers, 1)
measures = {"blocked": lambda _: time.sleep(600), "exceeded": lambda _: True}
threading.Thread(target=watcher._watch, args=(measures, None), daemon=True).start()
os.write(2, os.read(said, 64))
os._exit(0)
"""


def test_a_measurement_that_waits_holds_up_no_other_one() -> None:
    done = subprocess.run([sys.executable, "-c", _WATCH], capture_output=True, check=True, timeout=60)
    assert done.stderr == b"exceeded"


def test_a_measurement_that_fails_ends_the_watch() -> None:
    code = _WATCH.replace("time.sleep(600)", "1 / 0").replace("lambda _: True", "lambda _: False")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60).returncode == 1


def test_names_have_a_limit_besides_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("staging", "control", "staging/sub"):
        (tmp_path / name).mkdir()
    for number in range(9):
        (tmp_path / "staging/sub" / str(number)).touch()
    exceeded = measures.measures({"output_size": 10**6}, os.fsencode(tmp_path), [], None, None)["output_size"]
    monkeypatch.setattr(measures, "MOST_NAMES", 10)
    assert not exceeded(0)
    (tmp_path / "control" / "one more").touch()
    assert exceeded(0)


def test_the_sum_remembers_children_that_nobody_waits_for() -> None:
    """Each look has (id, start, own time, time of the children it has waited for) of the processes that exist."""
    total = cputime.Sum()
    assert total.add([(1, 0, 1, 0), (2, 0, 5, 0)]) == 6
    assert total.add([(1, 0, 1, 0)]) == 1  # perhaps its parent gets it before the next look
    assert total.add([(1, 0, 1, 0)]) == 6


def test_the_sum_counts_children_once_that_somebody_waits_for() -> None:
    total = cputime.Sum()
    assert total.add([(1, 0, 1, 0), (2, 0, 5, 0)]) == 6
    assert total.add([(1, 0, 1, 7)]) == 8
    # We have looked at the parent before it got the time, and for the child afterwards.
    assert total.add([(1, 0, 1, 7), (3, 0, 5, 0)]) == 13
    assert total.add([(1, 0, 1, 7)]) == 8
    assert total.add([(1, 0, 1, 12)]) == 13
    assert total.add([(1, 0, 1, 12)]) == 13


def test_the_sum_takes_a_process_with_the_same_number_for_another_one() -> None:
    total = cputime.Sum()
    total.add([(1, 0, 0, 0), (2, 10, 5, 0)])
    total.add([(1, 0, 0, 0), (2, 20, 1, 0)])
    assert total.add([(1, 0, 0, 0), (2, 20, 1, 0)]) == 6
