"""Builds many packages with any executor, and puts their artefacts into place in its own thread."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import queue
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import NamedTuple

from ..errors import PolicyError, UntrustedResultError
from ..policy import Policy
from ..run.workspace import PrivateDirectory
from ..text import visible
from .cores import cores_here, share
from .interrupts import interrupts
from .line import Line
from .memory import Admission
from .outcomes import BuildResult, Outcome
from .output import Output, TakenError
from .package import Order, Waits, build_package
from .permit import Permit
from .requests import BuildRequest, Task, check_requests
from .resuming import Inputs, Standing

__all__ = ["Batch", "build_many"]

_PERIOD = 0.2


class _Place(NamedTuple):
    private: str
    permit: Permit
    trees: Sequence[str]


def build_many(
    requests: Iterable[BuildRequest],
    *,
    executor: Executor | None = None,
    policy: Policy | None = None,
    keep_going: bool = True,
    independent: bool = False,
) -> tuple[BuildResult, ...]:
    """Build many packages, each in a process of its own, with its hooks in sandboxes of their own.

    The failure of a package is its result, and so is a limit or a refusal. An interrupt ends the builds that run, and
    then passes through. A package that is a build requirement of another one is built first, and its wheel is used.

    :param requests: the packages
    :param executor: runs the builds, on this machine; it stays open. Defaults to one thread for each processor core,
        which share the cores for requests that name no number of their own.
    :param policy: what hooks may do, for each request without a policy of its own. Defaults to ``Policy()``.
    :param keep_going: whether to begin further builds after one has failed; those that run go on in any case
    :param independent: whether all build requirements come from the user's index, so no package waits for another one
    :return: a result for each request, in the order of the requests
    :raises PolicyError: a request cannot be carried out, so nothing was run
    """
    tasks = check_requests(requests, policy)
    if executor is not None and not isinstance(executor, Executor):
        raise PolicyError(f"executor: expected a concurrent.futures.Executor, got {type(executor).__name__}")
    if not tasks:
        return ()
    with contextlib.ExitStack() as stack:
        if executor is None:
            workers = min(cores_here(), len(tasks))
            executor = stack.enter_context(ThreadPoolExecutor(workers))
            tasks = [_sharing(task, share(cores_here(), workers)) for task in tasks]
        batch = Batch(tasks, executor, keep_going=keep_going, independent=independent)
        results = batch.run()
    if batch.interrupted:
        raise KeyboardInterrupt
    return results


def _sharing(task: Task, cores: int) -> Task:
    if task.request.cores is not None:
        return task
    return dataclasses.replace(task, request=dataclasses.replace(task.request, cores=cores))


class Batch:
    """The builds of some tasks.

    :param executor: runs them
    :param keep_going, independent: as for :func:`build_many`
    :param standing: the wheels that earlier runs have left in the output directories, by their inputs
    :param begun: gets each task when its build seems to have begun
    :param waits: gets each task that has to wait for others, and the tasks of these
    :param ended: gets each task and its result
    :param summed_up: after an interrupt, ignore further ones, because a command sums up and ends
    :param peaks: the memory that a build is known to take at most, in bytes, by the numbers of the tasks
    :ivar interrupted: whether an interrupt has ended the batch
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        executor: Executor,
        *,
        keep_going: bool = True,
        independent: bool = False,
        standing: Mapping[Inputs, Standing] | None = None,
        begun: Callable[[Task], object] = lambda _: None,
        waits: Callable[[Task, Sequence[Task]], object] = lambda _, __: None,
        ended: Callable[[Task, BuildResult], object] = lambda _, __: None,
        summed_up: bool = False,
        peaks: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self._tasks = [*tasks]
        self._executor = executor
        self._keep_going = keep_going
        self._standing = standing or {}
        self._begun, self._waits, self._ended = begun, waits, ended
        self._summed_up = summed_up
        self._outputs: dict[str, Output] = {}
        self._results: dict[int, BuildResult] = {}
        self._pending: dict[Future[BuildResult | Waits], int] = {}
        self._waiting: collections.deque[Future[BuildResult | Waits]] = collections.deque()
        # concurrent.futures.wait() would look at each of them each time.
        self._done: queue.SimpleQueue[Future[BuildResult | Waits]] = queue.SimpleQueue()
        self._line = Line(tasks, independent=independent)
        self._admission = Admission(peaks)
        self._held: collections.deque[int] = collections.deque()
        self._why_none = ""
        self.interrupted = False

    def run(self) -> tuple[BuildResult, ...]:
        """Build all, and return their results in the order of the tasks.

        :raises PolicyError: an output directory cannot be used
        :raises SandboxSetupError: there is no place for temporary files
        """
        trees = [*dict.fromkeys(tree for task in self._tasks for tree in task.written)]
        with (
            PrivateDirectory(trees, prefix="many-") as private,
            Permit(private.path) as permit,
            self._line,
            contextlib.ExitStack() as stack,
        ):
            outputs = dict.fromkeys(task.output for task in self._tasks)
            for path in outputs:
                names = {task.name for task in self._tasks if task.name is not None and task.output == path}
                self._outputs[path] = stack.enter_context(Output(path, names))
            self._place = _Place(private.path, permit, trees)
            self._line.write(private.path)
            with interrupts(lambda: self._press(permit), deaf=lambda: self.interrupted and self._summed_up):
                for number in range(len(self._tasks)):
                    self._submit(number)
                self._take_all(permit)
                self._end_the_rest()
        return tuple(self._results[number] for number in range(len(self._tasks)))

    def _press(self, permit: Permit) -> None:
        self.interrupted = True
        permit.press()

    def _take_all(self, permit: Permit) -> None:
        """Take all results. An exception is an interrupt, too, where another handler than ours raises it."""
        while self._pending or self._line.unsettled or self._held:
            try:
                while self._pending or self._line.unsettled or self._held:
                    self._settle()
                    if self._pending:
                        self._take(permit)
            except KeyboardInterrupt:
                self._press(permit)

    def _end_the_rest(self) -> None:
        """End what an exception has cut off, or waits although nothing is left: nothing waits for ever."""
        for number in range(len(self._tasks)):
            if number not in self._results:
                self._end(number, self._without(number, Outcome.STOPPED, self._why_none or "nothing is left to run"))

    def _submit(self, number: int) -> None:
        """Have the executor begin a build, or go on with one that has waited, or hold it until its memory is there."""
        if self._admission.admits(number):
            self._begin(number)
        else:
            self._held.append(number)

    def _begin(self, number: int) -> None:
        task, place = self._tasks[number], self._place
        try:
            supplied = self._line.supplied(number)
            # A name of its own for each attempt: nothing of an earlier one is taken for a part of this one.
            name = f"{number}.{attempt}" if (attempt := self._line.attempts(number)) else f"{number}"
            own = os.path.join(place.private, name)
            os.mkdir(own, 0o700)
            staging = os.path.join(self._outputs[task.output].staging, name)
            begun = self._line.begun(number)
            order = Order(task, place.permit.path, own, staging, place.trees, self._standing, supplied, begun)
            future = self._executor.submit(build_package, order)
        except RuntimeError as problem:  # it is shut down, or broken
            self._end(number, self._without(number, Outcome.FAILED, f"the executor takes no build: {problem}"))
            return
        except OSError as problem:
            self._end(number, self._without(number, Outcome.FAILED, f"it cannot be begun: {problem.strerror}"))
            return
        self._pending[future] = number
        self._waiting.append(future)
        future.add_done_callback(self._done.put)

    def _take(self, permit: Permit) -> None:
        """Wait for a while, and take the result of the next build that has ended."""
        if self.interrupted:
            self._begin_none(permit, "it was interrupted before it began")
        self._tell_begun()
        try:
            future = self._done.get(timeout=_PERIOD)
        except queue.Empty:
            for future in self._pending:
                if future.done():  # an exception may have come between its arrival and its result
                    self._done.put(future)
            return
        self._tell_begun()
        number = self._pending.get(future)
        if number is None:
            return  # it was cancelled
        result = self._result_of(future, number)
        if isinstance(result, Waits):
            self._tasks[number] = result.task
            self._line.wait(number, result)
            self._admission.end(number)
        else:
            result = self._published(self._tasks[number], result)
        del self._pending[future]
        if isinstance(result, Waits):
            return
        self._end(number, result)
        if not (result.ok or self._keep_going):
            self._begin_none(permit, "another package has failed before it began")

    def _settle(self) -> None:
        """Go on with builds that have what they waited for, and end those that will never have it."""
        while self._line.unsettled:
            number = self._line.unsettled.popleft()
            if number in self._results:
                continue
            if self._why_none:
                self._end(number, self._without(number, Outcome.STOPPED, self._why_none))
                continue
            found = self._line.settle(number)
            for lost, error in found.lost.items():
                outcome = Outcome.STOPPED if found.failed else Outcome.FAILED
                self._end(lost, self._without(lost, outcome, error))
            if found.waits:
                self._waits(self._tasks[number], [self._tasks[other] for other in found.waits])
            elif not found.lost:
                self._submit(number)
        while self._held and self._admission.admits(self._held[0]):
            self._begin(self._held.popleft())

    def _tell_begun(self) -> None:
        """Tell of those that have begun since the last time. Executors begin them in the order of submission."""
        while self._waiting and (self._waiting[0].running() or self._waiting[0].done()):
            future = self._waiting.popleft()
            if future in self._pending:
                self._begun(self._tasks[self._pending[future]])

    def _end(self, number: int, result: BuildResult) -> None:
        self._results[number] = result
        self._admission.end(number)
        self._line.end(number, result)
        self._ended(self._tasks[number], result)

    def _begin_none(self, permit: Permit, why: str) -> None:
        permit.let_none_begin()
        self._why_none = why
        for future, number in [*self._pending.items()]:
            if future.cancel():
                del self._pending[future]
                self._end(number, self._without(number, Outcome.STOPPED, why))
        held = [*self._held]
        self._held.clear()
        for number in (*held, *self._line.waiting()):
            self._end(number, self._without(number, Outcome.STOPPED, why))

    def _result_of(self, future: Future[BuildResult | Waits], number: int) -> BuildResult | Waits:
        problem = future.exception()
        if problem is None:
            return future.result()
        text = f"the executor has lost the build: {type(problem).__name__}: {problem}"
        return self._without(number, Outcome.FAILED, text)

    def _without(self, number: int, outcome: Outcome, error: str) -> BuildResult:
        result = self._line.begun(number) or BuildResult(self._tasks[number].request, outcome)
        return dataclasses.replace(result, outcome=outcome, error=visible(error, limit=500))

    def _published(self, task: Task, result: BuildResult) -> BuildResult:
        """Put the artefacts of a package into place."""
        if not result.ok:
            return result
        output = self._outputs[task.output]
        failed = dataclasses.replace(result, outcome=Outcome.FAILED, wheel=None, sdist=None)
        try:
            if result.outcome is Outcome.STANDS and result.wheel is not None:
                output.keep(result.wheel)
                return result
            wheel, sdist = output.publish(result.wheel, result.sdist, name=task.name, tree=task.is_tree)
            return dataclasses.replace(result, wheel=wheel, sdist=sdist)
        except TakenError as problem:
            return dataclasses.replace(failed, error=visible(str(problem), limit=500))
        except UntrustedResultError as problem:
            error = visible(str(problem), limit=500)
            return dataclasses.replace(failed, outcome=Outcome.REFUSED, error=error, kind=type(problem).__name__)
        except OSError as problem:
            return dataclasses.replace(
                failed, error=f"{visible(task.output, limit=300)!r} takes no artefact: {problem.strerror}"
            )
