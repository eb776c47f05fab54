"""A batch with executors that build nothing: the order of results, who begins, and interrupts."""

from __future__ import annotations

import _thread
import dataclasses
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks import BuildRequest, BuildResult, BuiltFile, Outcome
from isolated_hooks.many.batch import Batch, build_many
from isolated_hooks.many.package import Order
from isolated_hooks.many.permit import END, STOP, Watch
from isolated_hooks.many.requests import Task, check_requests

Build = Callable[[Order], BuildResult]


class Inline(Executor):
    """Calls a function in the place of a build, in the thread that submits."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(self._build(*args))
        except Exception as problem:
            future.set_exception(problem)
        return future


class Never(Executor):
    """Begins nothing."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future()


class Threads(Executor):
    """Calls a function in the place of each build, in a thread of its own."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        threading.Thread(target=lambda: future.set_result(self._build(*args))).start()
        return future


@pytest.fixture
def requests(tmp_path: Path) -> list[BuildRequest]:
    """Requests for three sdists."""
    names = [f"p{number}-1.0.tar.gz" for number in range(3)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    return [BuildRequest(tmp_path / name, tmp_path / "out") for name in names]


def built(order: Order) -> BuildResult:
    name = f"{order.task.label.replace(' ', '-')}-py3-none-any.whl"
    os.mkdir(order.staging)
    path = os.path.join(order.staging, name)
    Path(path).write_bytes(b"wheel")
    return BuildResult(order.task.request, Outcome.BUILT, BuiltFile(path, 5, "digest"))


def failed(order: Order) -> BuildResult:
    return BuildResult(order.task.request, Outcome.FAILED, error="no")


def test_results_have_the_order_of_the_requests_and_each_is_told_once(
    requests: list[BuildRequest], tmp_path: Path
) -> None:
    begun: list[Task] = []
    ended: list[tuple[Task, BuildResult]] = []
    tasks = check_requests(requests, None)
    batch = Batch(tasks, Inline(built), begun=begun.append, ended=lambda *told: ended.append(told))
    results = batch.run()
    assert [result.request for result in results] == requests
    assert [os.path.basename(r.wheel.path) for r in results if r.wheel] == sorted(os.listdir(tmp_path / "out"))
    assert (begun, [task for task, _ in ended]) == (tasks, tasks)
    assert not batch.interrupted


def test_keep_going_builds_the_others(requests: list[BuildRequest]) -> None:
    def first_fails(order: Order) -> BuildResult:
        return failed(order) if order.task.label == "p0 1.0" else built(order)

    results = build_many(requests, executor=Inline(first_fails))
    assert [result.outcome for result in results] == [Outcome.FAILED, Outcome.BUILT, Outcome.BUILT]


def test_a_wheel_that_stands_keeps_its_place_against_another_package(
    requests: list[BuildRequest], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "p0-1.0-py3-none-any.whl").write_bytes(b"stands")
    standing = BuiltFile(f"{out}/p0-1.0-py3-none-any.whl", 6, "digest")

    def build(order: Order) -> BuildResult:
        if order.task.label == "p0 1.0":
            return BuildResult(order.task.request, Outcome.STANDS, standing)
        result = built(order)
        assert result.wheel is not None
        other = os.path.join(order.staging, "p0-1.0-py3-none-any.whl")
        os.rename(result.wheel.path, other)
        return dataclasses.replace(result, wheel=BuiltFile(other, 5, "digest"))

    first, second, third = build_many(requests, executor=Inline(build))
    assert (first.outcome, first.wheel) == (Outcome.STANDS, standing)
    assert second.outcome is third.outcome is Outcome.FAILED
    assert (out / "p0-1.0-py3-none-any.whl").read_bytes() == b"stands"


def test_no_interrupt_raises_an_exception_while_a_batch_runs(requests: list[BuildRequest]) -> None:
    """It could leave a lock of concurrent.futures held."""
    handlers = []

    def build(order: Order) -> BuildResult:
        handlers.append(signal.getsignal(signal.SIGINT))
        return failed(order)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        build_many(requests, executor=Inline(build))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(handlers) == 3
    assert signal.default_int_handler not in handlers


@pytest.mark.parametrize("own_handler", [False, True])
def test_an_interrupt_stops_what_has_not_begun_and_passes_through(
    requests: list[BuildRequest], own_handler: bool
) -> None:
    def raising(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, raising if own_handler else signal.default_int_handler)
    try:
        batch = Batch(check_requests(requests, None), Never())
        threading.Timer(0.3, _thread.interrupt_main).start()
        results = batch.run()
        assert batch.interrupted
        assert [result.outcome for result in results] == [Outcome.STOPPED] * 3
        threading.Timer(0.3, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            build_many(requests, executor=Never())
        assert signal.getsignal(signal.SIGINT) is (raising if own_handler else signal.default_int_handler)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_exception_at_an_odd_moment_loses_no_result(requests: list[BuildRequest]) -> None:
    class Interrupted(Batch):
        raised = 0

        def _published(self, task: Task, result: BuildResult) -> BuildResult:
            self.raised += 1
            if self.raised == 1:
                raise KeyboardInterrupt
            return super()._published(task, result)

    batch = Interrupted(check_requests(requests, None), Inline(built))
    assert [result.outcome for result in batch.run()] == [Outcome.BUILT] * 3
    assert batch.interrupted


def test_one_interrupt_asks_builds_to_end_and_a_second_one_ends_them(requests: list[BuildRequest]) -> None:
    seen: list[list[int]] = []

    def build(order: Order) -> BuildResult:
        asked = []
        with Watch(order.permit) as watch:
            for expected in (STOP, END):
                while watch.asked() < expected:
                    pass
                asked.append(watch.asked())
                if expected == STOP and order.task.label == "p0 1.0":
                    _thread.interrupt_main()
        seen.append(asked)
        return BuildResult(order.task.request, Outcome.STOPPED)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.3, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            build_many(requests, executor=Threads(build))
    finally:
        signal.signal(signal.SIGINT, before)
    assert [END] not in seen
    assert {asked[-1] for asked in seen} == {END}
    assert len(seen) == 3
