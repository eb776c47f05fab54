"""Packages begin together only if the memory that they are known to take is there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks import BuildRequest, BuildResult, BuiltFile, Outcome
from isolated_hooks.many import memory
from isolated_hooks.many.batch import Batch
from isolated_hooks.many.memory import Admission, available, peaks_of
from isolated_hooks.many.package import Order
from isolated_hooks.many.requests import Task, check_requests
from isolated_hooks.many.resuming import Standing


def test_peaks_have_to_fit_beside_each_other_and_one_always_begins() -> None:
    left = [100]
    admission = Admission({0: 60, 1: 50, 2: 30, 3: 1000}, lambda: left[0])
    assert [admission.admits(number) for number in (0, 1, 2, 3, 4)] == [True, False, True, False, True]
    admission.end(0)
    assert admission.admits(1)
    left[0] = 20
    admission.end(1)
    assert not admission.admits(1), "something else takes the memory now"
    for number in (2, 4):
        admission.end(number)
    assert admission.admits(3)
    assert Admission({0: 60}, lambda: None).admits(0)


def test_it_is_the_last_known_peak_of_any_version(tmp_path: Path) -> None:
    for name in ("my_demo-2.0.tar.gz", "other-1.0.tar.gz"):
        (tmp_path / name).write_bytes(b"")
    tasks = check_requests([BuildRequest(path, tmp_path / "out") for path in sorted(tmp_path.iterdir())], None)
    records = [Standing(BuiltFile(f"/w/My_Demo-{n}.0-py3-none-any.whl", 1, ""), memory=n) for n in (1, 5, 3)]
    assert peaks_of(tasks, records) == {0: 5}


def test_what_is_available_is_known_here() -> None:
    left = available()
    assert left is not None
    assert 0 <= left < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Slow(Executor):
    """Fails each build after a while, and counts how many run together."""

    def __init__(self) -> None:
        self.most = self.running = 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self.running += 1
        self.most = max(self.most, self.running)
        order: Order = args[0]

        def end() -> None:
            self.running -= 1
            future.set_result(BuildResult(order.task.request, Outcome.FAILED, error="no"))

        threading.Timer(0.05, end).start()
        return future


def _tasks(directory: Path, count: int) -> list[Task]:
    """Return the tasks of some sdists."""
    paths = [directory / f"p{number}-1.0.tar.gz" for number in range(count)]
    for path in paths:
        path.write_bytes(b"")
    return check_requests([BuildRequest(path, directory / "out") for path in paths], None)


def test_a_batch_holds_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = _tasks(tmp_path, 4)
    monkeypatch.setattr(memory.Admission.__init__, "__defaults__", (lambda: 100,))
    for peaks, most in (({}, 4), ({0: 60, 1: 60, 2: 60, 3: 60}, 1), ({0: 200, 1: 40}, 3)):
        executor = Slow()
        results = Batch(tasks, executor, peaks=peaks).run()
        assert (len(results), executor.most) == (4, most)


def test_after_a_failure_nothing_that_is_held_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = _tasks(tmp_path, 3)
    monkeypatch.setattr(memory.Admission.__init__, "__defaults__", (lambda: 100,))
    results = Batch(tasks, Slow(), peaks=dict.fromkeys(range(3), 90), keep_going=False).run()
    assert [result.outcome for result in results] == [Outcome.FAILED, Outcome.STOPPED, Outcome.STOPPED]
