"""``build_many``: each package has a process, sandboxes, limits and a result of its own, with any executor."""

from __future__ import annotations

import _thread
import concurrent.futures
import dataclasses
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.index import Index, backend_sdist, write_wheel
from support.projects import SDIST, WHEEL, facts, running, write_project

from isolated_hooks import BuildRequest, BuildResult, Outcome, Policy, Protection, ProtectionState, build_many
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

PLAIN = "del get_requires_for_build_wheel, get_requires_for_build_sdist"
FAILS = "raise SystemExit('it fails')"
HANGS = "import time; print('it hangs', flush=True); time.sleep(300)"
#: A backend that gives its wheel the name of another package's.
POSES = """
_build = build_wheel
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = _build(directory)
    os.rename(os.path.join(directory, name), os.path.join(directory, "victim-1.0-py3-none-any.whl"))
    return "victim-1.0-py3-none-any.whl"
"""
#: A backend whose hook shows in the log how many cores it has.
COUNTS = "print('cores', [os.environ.get(n) for n in ('MAX_JOBS', 'MAKEFLAGS', 'CARGO_BUILD_JOBS')], flush=True)"


@pytest.fixture
def sdists(tmp_path: Path) -> Callable[..., str]:
    """A function that writes an sdist and returns its path."""
    directory = tmp_path / "sdists"
    directory.mkdir()
    return lambda name, **options: os.fspath(backend_sdist(directory, name, **options))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, also of what the test starts."""
    path = tmp_path / "temporary files"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", os.fspath(path))
    monkeypatch.setattr("tempfile.tempdir", os.fspath(path))
    return path


@pytest.fixture(params=["threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Each of the two executors of the standard library."""
    if request.param == "threads":
        with ThreadPoolExecutor(2) as threads:
            yield threads
    else:
        with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as processes:
            # It forks now, before the test has threads.
            concurrent.futures.wait([processes.submit(time.sleep, 0.2) for _ in range(2)])
            yield processes


def test_each_package_has_a_result_in_the_order_of_the_requests(
    tmp_path: Path, temporary: Path, sdists: Callable[..., str], executor: Executor
) -> None:
    out = tmp_path / "out"
    tree = write_project(tmp_path / "project", extra=PLAIN)
    slow = Policy(limits={"wall_time": 1})
    requests = [
        BuildRequest(sdists("good"), out),
        BuildRequest(sdists("failing", extra=FAILS), out),
        BuildRequest(tree, out, sdist=True, config_settings={"a": ["b"]}),
        BuildRequest(sdists("hanging", extra=HANGS), out, policy=slow),
        BuildRequest(sdists("posing", after=POSES), out),
    ]
    results = build_many(requests, executor=executor)
    assert os.listdir(temporary) == []
    assert [result.request for result in results] == requests
    outcomes = [result.outcome for result in results]
    assert outcomes == [Outcome.BUILT, Outcome.FAILED, Outcome.BUILT, Outcome.LIMIT, Outcome.REFUSED]
    good, failing, both, hanging, posing = results
    assert (good.ok, good.error, good.kind) == (True, "", "")
    assert good.wheel is not None
    assert good.wheel.path == f"{out}/good-1.0-py3-none-any.whl"
    assert "it fails" in failing.log
    assert (failing.error, failing.wheel) == ("get_requires_for_build_wheel: exit code 1", None)
    assert both.wheel is not None and both.sdist is not None
    assert (os.path.basename(both.wheel.path), os.path.basename(both.sdist.path)) == (WHEEL, SDIST)
    assert facts(tree)[0]["config_settings"] == {"a": ["b"]}
    assert (hanging.kind, "1 second" in hanging.error) == ("HookTimeoutError", True)
    assert "must have the name and version of its sdist (expected posing 1.0)" in posing.error
    assert sorted(os.listdir(out)) == sorted([WHEEL, SDIST, "good-1.0-py3-none-any.whl"])
    assert pickle.loads(pickle.dumps(results)) == results
    for result in results:
        assert result.hooks
        assert all(report.state(Protection.FILESYSTEM) is ProtectionState.ACTIVE for report in result.hooks)


def test_two_packages_that_make_the_same_file_are_an_error_of_the_second(
    tmp_path: Path, sdists: Callable[..., str]
) -> None:
    sdist = sdists("demo")
    with ThreadPoolExecutor(1) as one:
        first, second = build_many([BuildRequest(sdist, tmp_path / "out")] * 2, executor=one)
    assert (first.outcome, second.outcome) == (Outcome.BUILT, Outcome.FAILED)
    assert "another package of this run has made 'demo-1.0-py3-none-any.whl'" in second.error
    assert second.wheel is None


#: A hook that looks for the order and the answer of its own build, and for those of others, and writes answers.
FORGES = """
import glob
private = os.path.dirname(os.path.dirname(sys.prefix))
print("private", os.path.basename(os.path.dirname(private)).partition("-")[0], flush=True)
for place in (private, os.path.dirname(private), os.path.join(os.path.dirname(private), "1")):
    try:
        print("seen", [name for name in os.listdir(place) if name in ("answer", "order", "permit")], flush=True)
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, "answer"), "w") as file:
            file.write('{"code": 0, "error": "", "kind": "", "hooks": []}')
    except OSError as error:
        print("refused", error, flush=True)
os._exit(1)
"""


def test_a_hook_finds_neither_the_order_nor_the_answer_of_a_build(tmp_path: Path, sdists: Callable[..., str]) -> None:
    requests = [BuildRequest(sdists("forging", extra=f"import sys{FORGES}"), tmp_path / "out")]
    requests += [BuildRequest(sdists("other", extra=FAILS), tmp_path / "out")]
    forging, other = build_many(requests)
    assert forging.outcome is other.outcome is Outcome.FAILED
    assert "private many" in forging.log, forging.log
    assert "'answer'" not in forging.log and "'order'" not in forging.log and "'permit'" not in forging.log
    assert len(forging.hooks) == 1


def test_the_policy_of_one_package_is_not_that_of_another(tmp_path: Path, sdists: Callable[..., str]) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    looks = f"import os; print('seen', os.path.exists({os.fspath(shown)!r}), flush=True)"
    requests = [BuildRequest(sdists(name, extra=looks), tmp_path / "out") for name in ("one", "two")]
    requests[0] = dataclasses.replace(requests[0], policy=Policy(expose=[shown]))
    # With -v, build shows the output of hooks, so look at a failure.
    failing = sdists("three", extra=f"{looks}; raise SystemExit(1)")
    requests.append(BuildRequest(failing, tmp_path / "out", policy=Policy(expose=[shown])))
    requests.append(BuildRequest(sdists("four", extra=f"{looks}; raise SystemExit(1)"), tmp_path / "out"))
    results = build_many(requests)
    assert ["seen True" in r.log for r in results] == [True, False, True, False]
    assert ["seen False" in r.log for r in results] == [False, True, False, True]


def test_the_cores_are_shared_unless_the_operator_has_set_the_variables(
    tmp_path: Path, sdists: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAX_JOBS", raising=False)
    monkeypatch.delenv("CARGO_BUILD_JOBS", raising=False)
    monkeypatch.setenv("MAKEFLAGS", "-j9 -k")
    request = BuildRequest(sdists("demo", extra=COUNTS), tmp_path / "out", cores=3)
    (given,) = build_many([request])
    assert "cores ['3', '-j9 -k', '3']" in given.log
    with ThreadPoolExecutor(1) as one:
        (left,) = build_many([dataclasses.replace(request, cores=None)], executor=one)
    assert "cores [None, '-j9 -k', None]" in left.log
    (shared,) = build_many([dataclasses.replace(request, cores=None)])
    count = len(os.sched_getaffinity(0))
    assert f"cores ['{count}', '-j9 -k', '{count}']" in shared.log


def test_after_a_failure_no_further_package_begins_if_that_is_asked_for(
    tmp_path: Path, sdists: Callable[..., str]
) -> None:
    requests = [BuildRequest(sdists("failing", extra=FAILS), tmp_path / "out")]
    requests += [BuildRequest(sdists(f"later{number}"), tmp_path / "out") for number in range(3)]
    with ThreadPoolExecutor(1) as one:
        results = build_many(requests, executor=one, keep_going=False)
    outcomes = [result.outcome for result in results]
    assert outcomes[0] is Outcome.FAILED
    # The thread may have begun the next one before anybody could see the failure.
    assert outcomes[2:] == [Outcome.STOPPED, Outcome.STOPPED]
    assert "before it began" in results[3].error


def test_build_requirements_come_from_the_index_and_their_hooks_are_in_the_package_s_result(
    tmp_path: Path, sdists: Callable[..., str], index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in index.environ().items():
        monkeypatch.setenv(name, value)
    write_wheel(index.project("first-need"), "first-need")
    backend_sdist(index.project("second-need"), "second-need")
    uses = "import first_need, second_need; print(first_need.VALUE, flush=True)"
    request = BuildRequest(sdists("demo", extra=uses, requires=["first-need", "second-need"]), tmp_path / "out")
    (result,) = build_many([request])
    assert result.outcome is Outcome.BUILT, result.log
    sources = {os.path.basename(report.source_dir).partition("_")[0] for report in result.hooks}
    assert len(sources) == 2, "one of them is the requirement's"


def until_a_call_has_begun(temporary: Path) -> None:
    """Wait until a hook is called, or the host tried for one."""
    assert until(lambda: any(temporary.rglob("isolated-hooks-*")))


def interrupted(requests: list[BuildRequest], temporary: Path, **options: Any) -> None:
    """Build, and send this thread an interrupt once a hook runs."""

    def interrupt() -> None:
        until_a_call_has_begun(temporary)
        _thread.interrupt_main()

    timer = threading.Thread(target=interrupt)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            build_many(requests, **options)
    finally:
        timer.join()


def test_an_interrupt_ends_what_runs_and_passes_through(
    tmp_path: Path, temporary: Path, sdists: Callable[..., str], executor: Executor
) -> None:
    requests = [BuildRequest(sdists(f"hanging{n}", extra=HANGS), tmp_path / "out") for n in range(4)]
    interrupted(requests, temporary, executor=executor)
    assert running(temporary) == os.listdir(temporary) == []
    assert os.listdir(tmp_path / "out") == []


class Broken(Executor):
    """An executor that fails in each of the ways in which one can."""

    def __init__(self) -> None:
        self._calls = 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._calls += 1
        if self._calls == 1:
            raise RuntimeError("cannot schedule new futures")
        future: Future[Any] = Future()
        if self._calls == 2:
            future.set_exception(MemoryError("no memory"))
        elif self._calls == 3:
            future.set_exception(concurrent.futures.CancelledError())
        else:
            future.set_result(function(*args, **kwargs))
        return future


@pytest.mark.slow
def test_the_processes_of_a_pool_may_be_new_interpreters(tmp_path: Path, sdists: Callable[..., str]) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        (result,) = build_many([BuildRequest(sdists("demo"), tmp_path / "out")], executor=pool)
    assert result.outcome is Outcome.BUILT, result.error


def test_the_failure_of_an_executor_is_the_result_of_its_packages(tmp_path: Path, sdists: Callable[..., str]) -> None:
    requests = [BuildRequest(sdists(f"demo{number}"), tmp_path / "out") for number in range(4)]
    results = build_many(requests, executor=Broken())
    assert [r.outcome for r in results] == [Outcome.FAILED] * 3 + [Outcome.BUILT]
    assert "takes no build: cannot schedule" in results[0].error
    assert "has lost the build: MemoryError: no memory" in results[1].error


def test_a_killed_worker_loses_its_package_and_ends_its_hook(
    tmp_path: Path, temporary: Path, sdists: Callable[..., str]
) -> None:
    requests = [
        BuildRequest(sdists("hanging", extra=HANGS), tmp_path / "out"),
        BuildRequest(sdists("b"), tmp_path / "out"),
    ]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, context) as pool:
        worker = pool.submit(os.getpid).result()
        results: list[BuildResult] = []
        thread = threading.Thread(target=lambda: results.extend(build_many(requests, executor=pool)))
        thread.start()
        until_a_call_has_begun(temporary)
        os.kill(worker, signal.SIGKILL)
        thread.join()
    assert until(lambda: not running(temporary))
    assert [result.outcome for result in results] == [Outcome.FAILED] * 2
    assert "has lost the build: BrokenProcessPool" in results[0].error


def test_a_full_disk_fails_the_package_and_leaves_no_half_wheel(
    tmp_path: Path, sdists: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def full(source: Any, target: Any, **options: Any) -> None:
        if str(target).endswith(".whl"):
            raise OSError(28, "No space left on device")
        rename(source, target, **options)

    monkeypatch.setattr(os, "rename", full)
    (result,) = build_many([BuildRequest(sdists("demo"), tmp_path / "out")])
    assert (result.outcome, result.wheel) == (Outcome.FAILED, None)
    assert "takes no artefact: No space left on device" in result.error
    assert os.listdir(tmp_path / "out") == []


def test_a_source_that_is_gone_is_the_result_of_its_package(tmp_path: Path, sdists: Callable[..., str]) -> None:
    class Removing(ThreadPoolExecutor):
        def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            os.unlink(sdist)
            return super().submit(function, *args, **kwargs)

    sdist = sdists("demo")
    with Removing(1) as executor:
        (result,) = build_many([BuildRequest(sdist, tmp_path / "out")], executor=executor)
    assert result.outcome is Outcome.FAILED
    assert "demo-1.0.tar.gz' cannot be used: No such file or directory" in result.error


def test_an_sdist_that_is_none_is_the_result_of_its_package(tmp_path: Path, sdists: Callable[..., str]) -> None:
    broken = tmp_path / "sdists" / "broken-1.0.tar.gz"
    broken.write_bytes(b"\x1f\x8bnothing")
    results = build_many([BuildRequest(broken, tmp_path / "out"), BuildRequest(sdists("demo"), tmp_path / "out")])
    assert [result.outcome for result in results] == [Outcome.FAILED, Outcome.BUILT]
    assert results[0].error


def test_what_the_process_that_builds_searches_lies_in_no_source_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sdists: Callable[..., str]
) -> None:
    """The tree of one package must not decide what the process of another one imports, runs or loads."""
    mark = tmp_path / "mark"
    tree = write_project(tmp_path / "project", extra=PLAIN)
    for name in ("json", "build", "isolated_hooks", "sitecustomize"):
        (tree / f"{name}.py").write_text(f"open({os.fspath(mark)!r}, 'a').write(__name__ + '\\n')\n")
    monkeypatch.chdir(tree)
    monkeypatch.setenv("PYTHONPATH", os.fspath(tree))
    monkeypatch.setenv("PATH", f"{tree}:{os.environ.get('PATH', os.defpath)}")
    monkeypatch.setattr(sys, "path", ["", os.fspath(tree), *sys.path])
    results = build_many([BuildRequest(sdists("demo"), tmp_path / "out"), BuildRequest(tree, tmp_path / "out")])
    assert [result.outcome for result in results] == [Outcome.BUILT] * 2, [result.log for result in results]
    assert not mark.exists()
