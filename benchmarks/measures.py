"""What the table of :mod:`table` measures: each row in alternating runs: a machine whose speed drifts slows all.

A measure returns the ratio or difference that its row names, from the medians of its runs, by the clock; and, where it
can be, the same by processor time, which is steadier on a machine that does other things too. The processor time of a
process that stays ready for later hooks counts for nothing there.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import growth
import pyproject_hooks
from hook_call import BACKEND, SETUPTOOLS, bubblewrap, quiet

from isolated_hooks import IsolatedHookCaller, IsolatedRunner, Policy

__all__ = ["Unmeasured", "at_once", "build", "empty", "first_call", "grown", "imported", "launch", "memory", "wheel"]

Runner = Callable[..., None]
Times = dict[str, list[tuple[float, float]]]  # by the clock, and of the processors
Figures = tuple[float, "float | None"]
_PROJECT = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n' + SETUPTOOLS
_EXTENSION = (
    "from setuptools import Extension, setup\nsetup(ext_modules=[Extension('measured', ['measured.c'], "
    "extra_compile_args=['-O0'])])\n"
)
_MODULE = (
    '#include <Python.h>\nstatic struct PyModuleDef d = {PyModuleDef_HEAD_INIT, "measured"};\n'
    "PyMODINIT_FUNC PyInit_measured(void) { return PyModule_Create(&d); }\n"
)
_WAITING = "import time\ndef get_requires_for_build_wheel(config_settings=None):\n    time.sleep(1)\n    return []\n"
_FIRST = """
import statistics, subprocess, sys, time
sys.path.insert(0, sys.argv[2])
from hook_call import quiet
from pyproject_hooks import default_subprocess_runner as default
from isolated_hooks import IsolatedHookCaller
caller = IsolatedHookCaller(sys.argv[1], "measured", ["."], {"quiet": quiet, "default": default}[sys.argv[3]])
taken = []
for _ in range(5):
    began = time.perf_counter()
    caller.get_requires_for_build_wheel()
    taken.append(time.perf_counter() - began)
print(taken[0] - statistics.median(taken[1:]))
"""


class Unmeasured(Exception):  # noqa: N818 - it says what is missing, and is no error of the benchmark
    """A row cannot be measured here; the text says why."""


def alternate(runs: Mapping[str, Callable[[], object]], count: int) -> Times:
    """Return the seconds of each run, the runs in turn, after one round that is not counted."""
    times: Times = {name: [] for name in runs}
    for turn in range(count + 1):
        for name, run in runs.items():
            began, used = time.perf_counter(), growth.processor_time()
            run()
            if turn:
                times[name].append((time.perf_counter() - began, growth.processor_time() - used))
    return times


def ratio(times: Times, name: str, base: str) -> Figures:
    """Return the medians of the ratios of the rounds."""
    rounds = [*zip(times[name], times[base], strict=True)]
    return statistics.median(a[0] / b[0] for a, b in rounds), statistics.median(a[1] / b[1] for a, b in rounds)


def added(times: Times, name: str, other: str, base: str = "bare") -> Figures:
    """Return what one adds to the bare run as a multiple of what another adds.

    Only by the clock: bwrap does not wait for all its processes, so nobody is told what they used.
    """
    mine, theirs = (
        statistics.median(a[0] - b[0] for a, b in zip(times[which], times[base], strict=True))
        for which in (name, other)
    )
    return mine / theirs, None


@contextmanager
def tree(backend: str = BACKEND, **files: str) -> Iterator[Path]:
    """Make a source tree with an in-tree backend, and an output directory beside it."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "source")
        source.mkdir()
        Path(directory, "output").mkdir()
        for name, text in {"measured.py": backend, **files}.items():
            (source / name.replace("__", ".")).write_text(text)
        yield source


def needs_bubblewrap() -> None:
    """:raises Unmeasured: it is not installed"""
    if shutil.which("bwrap") is None:
        raise Unmeasured("bwrap is not installed; --install installs it, as root on Debian")


def started(*command: str, cwd: Path | None = None) -> Callable[[], object]:
    """Return a function that runs a command without its output."""
    return lambda: subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def imported(count: int, statement: str) -> Figures:
    """A Python that imports this package against one that imports pyproject_hooks and packaging."""
    python = (sys.executable, "-c")
    runs = {
        "pair": started(*python, "import pyproject_hooks, packaging"),
        "ours": started(*python, statement),
    }
    return ratio(alternate(runs, count), "ours", "pair")


def _policy(*, warm: bool) -> Policy:
    """Return a policy without warm launches, which versions before them do not know."""
    try:
        return Policy() if warm else Policy(warm=False)
    except TypeError:
        raise Unmeasured("this version has no warm launches") from None


def empty(count: int, *, own: bool, warm: bool) -> Figures:
    """What we add to an empty hook, in units of what bwrap adds with the same binds.

    :param own: the frontend has a runner of its own
    :param warm: with the default policy
    """
    needs_bubblewrap()
    runner: Runner = quiet if own else pyproject_hooks.default_subprocess_runner
    policy = Policy() if own and warm else _policy(warm=warm)
    with tree() as source:
        runners = {"bare": runner, "bwrap": bubblewrap, "ours": IsolatedRunner(policy, runner)}
        callers = {
            n: pyproject_hooks.BuildBackendHookCaller(str(source), "measured", ["."], r) for n, r in runners.items()
        }
        times = alternate({n: c.get_requires_for_build_wheel for n, c in callers.items()}, count)
    return added(times, "ours", "bwrap")


def wheel(count: int, *, compiled: bool) -> Figures:
    """setuptools' build_wheel, of one module or of an extension in C, against the same hook bare."""
    if compiled and shutil.which(os.environ.get("CC", "cc")) is None:
        raise Unmeasured("there is no C compiler")
    files = {"pyproject__toml": SETUPTOOLS, **({"setup__py": _EXTENSION, "measured__c": _MODULE} if compiled else {})}
    with tree("", **files) as source:
        output = str(source.parent / "output")
        runners = {"bare": quiet, "ours": IsolatedRunner(inner=quiet)}
        callers = {
            n: pyproject_hooks.BuildBackendHookCaller(str(source), "setuptools.build_meta", None, r)
            for n, r in runners.items()
        }
        if compiled:  # otherwise the second build finds the first one's object files
            call = lambda caller: lambda: (shutil.rmtree(source / "build", True), caller.build_wheel(output))  # noqa: E731
        else:
            call = lambda caller: lambda: caller.build_wheel(output)  # noqa: E731
        return ratio(alternate({n: call(c) for n, c in callers.items()}, count), "ours", "bare")


def build(count: int, *options: str) -> Figures:
    """``isolated-hooks build`` against ``python -m build``, by the clock: a warm launch's time counts as no child's."""
    with tree("", pyproject__toml=_PROJECT) as source:
        words = ("build", *options, str(source))
        bare = started(sys.executable, "-m", *words, cwd=source.parent)
        ours = started(sys.executable, "-m", "isolated_hooks", *words, cwd=source.parent)
        try:
            return ratio(alternate({"bare": bare, "ours": ours}, count), "ours", "bare")[0], None
        except subprocess.CalledProcessError as error:
            raise Unmeasured(f"{' '.join(words[:-1])} fails here with exit code {error.returncode}") from None


def launch(count: int) -> Figures:
    """The launch of a command that does nothing, without planning it, in units of ``python -I -S -c pass``."""
    from isolated_hooks.run.command import run_command

    with tree() as source:
        taken: list[tuple[float, float]] = []

        def start(command: list[str]) -> None:
            began, used = time.perf_counter(), growth.processor_time()
            subprocess.run(command, check=True)
            taken.append((time.perf_counter() - began, growth.processor_time() - used))

        python = started(sys.executable, "-I", "-S", "-c", "pass")
        ours = lambda: run_command(["true"], str(source), Policy(), start, stdin="null")  # noqa: E731
        times = alternate({"python": python, "ours": ours}, count)
        return ratio({**times, "ours": taken[1:]}, "ours", "python")


def first_call(count: int, *, runner: str = "default") -> Figures:
    """What the first call of a process takes on top of the later ones, in milliseconds.

    :param runner: ``"default"``, that of pyproject_hooks, or ``"quiet"``, one of the frontend's own
    """
    with tree() as source:
        command = [sys.executable, "-c", _FIRST, str(source), os.path.dirname(__file__), runner]
        runs = [float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(count)]
    return 1000 * statistics.median(runs), None


def grown(count: int, what: str) -> Figures:
    """What a later call takes more in a large tree, or on a host with more mounts or processes, in milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        small = growth.make_tree(top / "small", 10)
        if what == "files":
            callers = growth.Caller(small), growth.Caller(growth.make_tree(top / "large", growth.FILES))
        elif os.geteuid() != 0:
            raise Unmeasured("it takes root")
        elif what == "mounts":
            (top / "mounts").mkdir()
            callers = growth.Caller(small), growth.Caller(small, "--mounts", str(top / "mounts"))
        else:
            return _among_processes(growth.Caller(small), count), None
        row = growth.compare(what, *callers, count)
    wall, processor = (float(row[unit]["difference"]) for unit in ("wall", "processor"))  # type: ignore[index]
    return wall, processor


def _among_processes(caller: growth.Caller, count: int) -> float:
    """Make a call among few processes and among many in turn."""
    caller.call()
    differences = []
    for _ in range(count):
        few = caller.call().wall
        many = [subprocess.Popen(["sleep", "60"]) for _ in range(1600)]
        try:
            differences.append(caller.call().wall - few)
        finally:
            for process in many:
                process.kill()
            for process in many:
                process.wait()
    caller.close()
    return statistics.median(differences)


def at_once(count: int, hooks: int = 32) -> Figures:
    """A hook among many from as many threads, against the same under bwrap."""
    needs_bubblewrap()
    with tree() as source, ThreadPoolExecutor(hooks) as pool:

        def run(runner: Runner) -> Callable[[], object]:
            def call(_: int) -> object:
                caller = pyproject_hooks.BuildBackendHookCaller(str(source), "measured", ["."], runner)
                return caller.get_requires_for_build_wheel()

            return lambda: list(pool.map(call, range(hooks)))

        times = alternate({"bwrap": run(bubblewrap), "ours": run(IsolatedRunner(inner=quiet))}, count)
    return ratio(times, "ours", "bwrap")[0], None


def memory(count: int) -> Figures:
    """The proportional memory of our own processes while one hook runs, without the frontend and the hook, in MB."""
    with tree(_WAITING) as source:
        caller = IsolatedHookCaller(str(source), "measured", ["."], quiet)
        found = []
        for _ in range(count):
            thread = threading.Thread(target=caller.get_requires_for_build_wheel)
            thread.start()
            time.sleep(0.7)
            found.append(sum(map(_pss, _own_processes())))
            thread.join()
    if not all(found):
        raise Unmeasured("this user cannot read the memory of its processes in the sandbox")
    return statistics.median(found) / 1000, None


def _own_processes() -> list[str]:
    """Return the processes that descend from this one and are not the hook's."""
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[pid] = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
    known, new = set(), {str(os.getpid())}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new and pid not in known}
        known |= new
    return [pid for pid in known if not _is_hook(pid)]


def _is_hook(pid: str) -> bool:
    words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    return len(words) > 1 and words[1].endswith(b"_in_process.py")


def _pss(pid: str) -> int:
    try:
        lines = Path("/proc", pid, "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
