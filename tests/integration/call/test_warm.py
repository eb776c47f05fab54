"""A launcher that is forked from the process that stays ready does what a new one does, and is never used otherwise."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.forks import in_child

from isolated_hooks import (
    HookTimeoutError,
    IsolatedHookCaller,
    IsolatedRunner,
    Limits,
    Policy,
    SandboxUnavailableError,
)
from isolated_hooks.launchers import ready, warm
from isolated_hooks.launchers.ready import KEEPER

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.filterwarnings("error::ResourceWarning")]

BACKEND = """
import ctypes, json, os, re, resource, signal, subprocess, sys, time

def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "backslashreplace")
    except OSError as error:
        return repr(error)

def facts():
    status = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines())
    counted = ("Vm", "Rss", "Hug", "vol", "non", "Sig", "State")
    status = {k: v for k, v in status.items() if not k.startswith(counted) or k in ("SigBlk", "SigIgn", "SigCgt")}
    # The names of this call's own directories, its throw-away uid, and the numbers of the mounts.
    chance = r"isolated-hooks-\\w+|(?<=/tmp/)tmp\\w+|uid=\\d+|gid=\\d+|^\\d+ \\d+ \\d+:\\d+"
    return {
        "status": status,
        "limits": read("/proc/self/limits"),
        "umask": os.umask(0o22),
        "nice": os.nice(0),
        "affinity": sorted(os.sched_getaffinity(0)),
        "scheduler": os.sched_getscheduler(0),
        "personality": read("/proc/self/personality"),
        "slack": ctypes.CDLL(None).prctl(30, 0, 0, 0, 0),
        "oom": read("/proc/self/oom_score_adj"),
        "cgroup": read("/proc/self/cgroup"),
        "session": (os.getsid(0), os.getpgrp(), os.getpid(), os.getppid()),
        "descriptors": sorted((fd, os.readlink("/proc/self/fd/" + fd).split(":")[0]) for fd in ("0", "1", "2")),
        "open": len(os.listdir("/proc/self/fd")),
        "environ": {k: v for k, v in os.environ.items() if k != "_PYPROJECT_HOOKS_BUILD_BACKEND"},
        "arguments": [word for word in sys.argv if not word.startswith("/")],
        "cwd": os.getcwd(),
        "processes": sorted(p for p in os.listdir("/proc") if p.isdigit()),
        "mounts": sorted(re.sub(chance, "", line) for line in read("/proc/self/mountinfo").splitlines()),
        "namespaces": sorted(os.listdir("/proc/self/ns")),
        "root": sorted(os.listdir("/")),
        "stdin": sys.stdin.read(),
    }

def get_requires_for_build_wheel(config_settings=None):
    settings = config_settings or {}
    print("said by", settings.get("name", "nobody"), flush=True)
    print("on stderr", file=sys.stderr, flush=True)
    with open("facts.json", "w") as file:
        json.dump(facts(), file)
    if "sleep" in settings:
        open("started", "w").close()
        time.sleep(float(settings["sleep"]))
    if "signal" in settings:
        os.kill(os.getpid(), int(settings["signal"]))
    if "exit" in settings:
        os._exit(int(settings["exit"]))
    return []
"""
COLD = Policy(warm=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "backend.py").write_text(BACKEND)
    return tree


@pytest.fixture(autouse=True)
def none_ready() -> Iterator[None]:
    """Begin and end without the process that other tests of this process have started."""
    KEEPER.forked()
    yield
    KEEPER.forked()


def _caller(tree: Path, policy: Policy | None = None, runner: Any = None) -> IsolatedHookCaller:
    runner = pyproject_hooks.quiet_subprocess_runner if runner is None else runner
    return IsolatedHookCaller(os.fspath(tree), "backend", ["."], runner, policy=policy)


def _call(tree: Path, policy: Policy | None = None, **settings: object) -> bool:
    """Call the hook. Return whether it was warm."""
    caller = _caller(tree, policy)
    try:
        caller.get_requires_for_build_wheel({name: str(value) for name, value in settings.items()})
    finally:
        assert caller.reports
    return caller.reports[-1].warm


def _facts(tree: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((tree / "facts.json").read_text())
    return facts


def _server() -> int:
    """Return the pid of the process that stays ready."""
    assert KEEPER.server is not None
    return KEEPER.server.pid


def _ended(pid: int) -> bool:
    """Return whether a process ends within a few seconds."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


# The same.


def test_a_hook_finds_nothing_else_than_after_a_cold_start(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", '-DWORD="two words" -Dä=\udcff')
    before = os.umask(0o27)
    try:
        assert not _call(tree, COLD)
        cold = _facts(tree)
        assert _call(tree)
        assert _facts(tree) == cold
        assert _call(tree)
        assert _facts(tree) == cold
        assert cold["environ"]["CFLAGS"] == os.environ["CFLAGS"]
    finally:
        os.umask(before)


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR2], ids=str)
def test_a_signal_that_the_frontend_ignores(tree: Path, number: signal.Signals) -> None:
    def work() -> None:
        signal.signal(number, signal.SIG_IGN)
        assert not _call(tree, COLD)
        cold = _facts(tree)
        assert _call(tree)
        assert _facts(tree) == cold

    in_child(work)


@pytest.mark.parametrize("settings", [{"exit": 3}, {"signal": 15}, {"signal": 9}, {"signal": 6}], ids=str)
def test_an_error_is_the_same(tree: Path, settings: dict[str, int], capfd: pytest.CaptureFixture[str]) -> None:
    for runner in (pyproject_hooks.quiet_subprocess_runner, pyproject_hooks.default_subprocess_runner):
        seen = []
        for policy in (COLD, None):
            caller = _caller(tree, policy, runner)
            with pytest.raises(subprocess.CalledProcessError) as caught:
                caller.get_requires_for_build_wheel({name: str(value) for name, value in settings.items()})
            assert caller.reports[-1].warm is (policy is None)
            report = caller.reports[-1]
            seen.append((type(caught.value), caught.value.returncode, caught.value.output, report.returncode))
            seen[-1] += tuple(capfd.readouterr())
        assert seen[0] == seen[1]


def test_the_output_goes_where_the_runner_sends_it(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for policy in (COLD, None):
        caller = _caller(tree, policy, pyproject_hooks.default_subprocess_runner)
        caller.get_requires_for_build_wheel({"name": "me"})
        out, err = capfd.readouterr()
        assert "said by me\n" in out
        assert "on stderr\n" in err
        assert caller.reports[-1].warm is (policy is None)


def test_a_limit_ends_a_hook(tree: Path) -> None:
    policy = Policy(limits=Limits(wall_time=1.0))
    caller = _caller(tree, policy)
    with pytest.raises(HookTimeoutError):
        caller.get_requires_for_build_wheel({"sleep": "60"})
    assert caller.reports[-1].warm


def test_many_at_once(tmp_path: Path) -> None:
    trees = [tmp_path / f"tree{number}" for number in range(8)]
    for tree in trees:
        tree.mkdir()
        (tree / "backend.py").write_text(BACKEND)
    seen: dict[Path, bool] = {}
    threads = [threading.Thread(target=lambda t=tree: seen.update({t: _call(t)})) for tree in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == dict.fromkeys(trees, True)
    assert {_facts(tree)["cwd"] for tree in trees} == set(map(os.fspath, trees))


@pytest.mark.parametrize(
    ("policy", "launches"),
    [
        pytest.param("", 1, id="the-hook-is-the-trial"),
        pytest.param("source='discard'", 3, id="and-one-of-an-overlay"),
    ],
)
def test_the_trials_of_the_host_are_warm_too(policy: str, launches: int, tree: Path) -> None:
    """Where nobody sees a launch that fails, the first one takes the place of a trial, unless there is an overlay."""
    code = f"""
        import pyproject_hooks, sys
        from isolated_hooks import IsolatedHookCaller, Policy
        from isolated_hooks.launchers import warm
        asked = []
        ask = warm._ask
        warm._ask = lambda *args: asked.append(args) or ask(*args)
        runner = pyproject_hooks.quiet_subprocess_runner
        hooks = IsolatedHookCaller(sys.argv[1], "backend", ["."], runner, policy=Policy({policy}))
        hooks.get_requires_for_build_wheel()
        assert len(asked) == {launches}, asked
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), tree], check=True)


# Only where it is equal.


def _with_umask() -> None:
    os.umask(0o77)


def _with_limit() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def _with_nice() -> None:
    # Where it is the highest number already, the scheduling policy is another one.
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _with_affinity() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _with_ignored_signal() -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _with_blocked_signal() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])


def _with_slack() -> None:
    ctypes.CDLL(None).prctl(29, 123456, 0, 0, 0)  # PR_SET_TIMERSLACK


def _with_group() -> None:
    os.setpgid(0, 0)


def _with_no_new_privileges() -> None:
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS


def _with_landlock() -> None:
    """Confine this thread without a change that /proc shows, which takes that no_new_privs was set before."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    handled = ctypes.c_uint64(1 << 12)  # LANDLOCK_ACCESS_FS_MAKE_SYM
    ruleset = libc.syscall(444, ctypes.byref(handled), ctypes.c_size_t(8), 0)
    assert ruleset >= 0
    assert libc.syscall(446, ruleset, 0) == 0
    os.close(ruleset)


CHANGES = (
    _with_umask,
    _with_limit,
    _with_nice,
    _with_affinity,
    _with_ignored_signal,
    _with_blocked_signal,
    _with_slack,
    _with_group,
    _with_no_new_privileges,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_a_frontend_that_has_changed_starts_a_new_process(tree: Path, change: Callable[[], None]) -> None:
    def work() -> None:
        assert _call(tree)
        first = _server()
        change()
        assert not _call(tree)
        facts = _facts(tree)
        assert _ended(first)  # it could do what this process has given up
        assert _call(tree)
        assert _facts(tree) == facts
        assert not _call(tree, COLD)
        assert _facts(tree) == facts

    in_child(work)


def test_a_frontend_that_has_confined_itself_starts_a_new_process(tree: Path) -> None:
    from isolated_hooks.sandbox import syscalls

    try:
        syscalls.landlock_abi()
    except OSError:
        pytest.skip("this kernel has no Landlock")
    if os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("the numbers of the calls are those of two machines")

    def work() -> None:
        _with_no_new_privileges()
        assert _call(tree)
        _with_landlock()
        warm._ask = None  # type: ignore[assignment]  # nobody may call it
        with contextlib.suppress(SandboxUnavailableError):  # nobody mounts anything in there
            assert not _call(tree)

    in_child(work)


def test_a_runner_of_the_frontend_itself_is_called(tree: Path) -> None:
    commands = []

    def own(cmd: Any, cwd: Any = None, extra_environ: Any = None) -> None:
        commands.append(cmd)
        pyproject_hooks.quiet_subprocess_runner(cmd, cwd, extra_environ)

    caller = _caller(tree, runner=own)
    caller.get_requires_for_build_wheel()
    assert len(commands) == 1
    assert not caller.reports[-1].warm


def test_a_frontend_with_a_runner_of_its_own_has_no_process(tree: Path) -> None:
    code = """
        import os, subprocess, sys
        from isolated_hooks import IsolatedHookCaller
        from isolated_hooks.launchers.ready import KEEPER
        def own(cmd, cwd=None, extra_environ=None):
            subprocess.run(cmd, cwd=cwd, env={**os.environ, **extra_environ}, check=True)
        IsolatedHookCaller(sys.argv[1], "backend", ["."], own).get_requires_for_build_wheel()
        assert KEEPER.server is None and KEEPER.tries == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), tree], check=True)


def test_the_default_runner_is_warm(tree: Path) -> None:
    runner = IsolatedRunner()
    caller = pyproject_hooks.BuildBackendHookCaller(os.fspath(tree), "backend", ["."], runner)
    caller.get_requires_for_build_wheel()
    assert runner.reports[-1].warm


def test_no_namespaces_no_warm_start(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isolated_hooks.launchers.native import Native
    from isolated_hooks.run import trial

    plan = type("Plan", (), {"policy": Policy(), "confined": True})
    assert not trial.may_be_warm(plan, Native())  # type: ignore[arg-type]
    plan.confined = False  # type: ignore[attr-defined]
    assert trial.may_be_warm(plan, Native())  # type: ignore[arg-type]
    assert not trial.may_be_warm(plan, object())  # type: ignore[arg-type]


def test_a_change_ends_no_hook_that_runs(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "backend.py").write_text(BACKEND)

    def work() -> None:
        assert _call(tree)
        first = _server()
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(_call(tree, sleep=3)))
        thread.start()
        while not (tree / "started").exists():
            time.sleep(0.01)
        _with_umask()
        assert not _call(other)
        thread.join()
        assert seen == [True]
        assert _ended(first)

    in_child(work)


# Failures.


def test_a_process_that_was_killed_costs_one_cold_start(tree: Path) -> None:
    assert _call(tree)
    first = _server()
    os.kill(first, signal.SIGKILL)
    assert _ended(first)
    assert not _call(tree)
    assert _call(tree)
    assert _server() != first


def test_a_process_that_was_stopped_costs_one_cold_start(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _call(tree)
    first = _server()
    monkeypatch.setattr(ready, "SECONDS", 0.5)
    os.kill(first, signal.SIGSTOP)
    assert not _call(tree)
    assert _facts(tree)
    assert _ended(first)


def test_a_process_that_is_stopped_ends_its_hook(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else could tell how the hook has ended, and the frontend would wait for ever."""
    assert _call(tree)
    first = _server()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _call(tree, sleep=2)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not (tree / "started").exists():
        time.sleep(0.01)
    monkeypatch.setattr(ready, "SECONDS", 0.5)
    os.kill(first, signal.SIGSTOP)
    thread.join(30)
    assert not thread.is_alive()
    assert [type(error) for error in failures] == [subprocess.CalledProcessError]
    assert _ended(first)
    monkeypatch.undo()
    assert _call(tree)


def test_a_process_that_dies_ends_its_hook(tree: Path) -> None:
    assert _call(tree)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _call(tree, sleep=60)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not (tree / "started").exists():
        time.sleep(0.01)
    os.kill(_server(), signal.SIGKILL)
    thread.join(30)
    assert not thread.is_alive()
    assert [type(error) for error in failures] == [subprocess.CalledProcessError]


def test_no_descriptor_of_another_file_is_taken_for_the_channel(tree: Path) -> None:
    def work() -> None:
        assert _call(tree)
        assert KEEPER.server is not None
        fd = KEEPER.server.channel.fileno()
        first = _server()
        os.closerange(3, 1000)
        read, write = os.pipe()
        for number in {*range(3, 40)} - {read, write}:
            os.dup2(read, number)
        with contextlib.suppress(OSError):
            os.close(write) if fd != write else None
        assert _call(tree) in (True, False)
        assert _ended(first)
        os.fstat(fd)  # nobody has closed what is there now

    in_child(work)


@pytest.mark.parametrize(
    "end", ["os._exit(0)", "os.kill(os.getpid(), 9)", "sys.exit()", "os.execv('/bin/true', ['x'])"]
)
def test_it_ends_with_the_frontend(tree: Path, end: str) -> None:
    code = f"""
        import os, pyproject_hooks, sys
        from isolated_hooks import IsolatedHookCaller
        from isolated_hooks.launchers.ready import KEEPER
        hooks = IsolatedHookCaller(sys.argv[1], "backend", ["."], pyproject_hooks.quiet_subprocess_runner)
        hooks.get_requires_for_build_wheel()
        assert hooks.reports[-1].warm
        print(KEEPER.server.pid, flush=True)
        {end}
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), tree], stdout=subprocess.PIPE, check=False)
    assert _ended(int(done.stdout))


@pytest.mark.parametrize("state", ["", "os.kill(KEEPER.server.pid, signal.SIGSTOP)"], ids=["as it was", "stopped"])
def test_it_has_ended_when_the_frontend_has(tree: Path, state: str) -> None:
    """Whoever waits for a command may remove what the command was given."""
    code = f"""
        import os, pyproject_hooks, signal, sys
        from isolated_hooks import IsolatedHookCaller
        from isolated_hooks.launchers.ready import KEEPER
        hooks = IsolatedHookCaller(sys.argv[1], "backend", ["."], pyproject_hooks.quiet_subprocess_runner)
        hooks.get_requires_for_build_wheel()
        {state}
        print(KEEPER.server.pid, flush=True)
    """
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), tree], stdout=subprocess.PIPE, check=True)
        with contextlib.suppress(FileNotFoundError):
            assert Path(f"/proc/{int(done.stdout)}/cmdline").read_bytes() == b""


def test_it_ends_with_the_frontend_although_another_process_has_its_channel(tree: Path) -> None:
    """A fork that Python knows nothing of has a copy of each descriptor."""
    code = """
        import ctypes, os, pyproject_hooks, sys, time
        from isolated_hooks import IsolatedHookCaller
        from isolated_hooks.launchers.ready import KEEPER
        hooks = IsolatedHookCaller(sys.argv[1], "backend", ["."], pyproject_hooks.quiet_subprocess_runner)
        hooks.get_requires_for_build_wheel()
        other = ctypes.CDLL(None).fork()
        if other == 0:
            os.close(1)
            time.sleep(60)
            os._exit(0)
        print(KEEPER.server.pid, other, flush=True)
        os._exit(0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), tree], stdout=subprocess.PIPE, check=True)
    server, other = map(int, done.stdout.split())
    try:
        assert _ended(server)
    finally:
        os.kill(other, signal.SIGKILL)


def test_it_ends_when_the_frontend_says_so(tree: Path) -> None:
    warm.end()  # there is none
    assert _call(tree)
    first = _server()
    warm.end()
    assert not Path(f"/proc/{first}/exe").exists()
    assert _call(tree)
    assert _server() != first


def test_a_child_of_the_frontend_has_one_of_its_own(tree: Path) -> None:
    assert _call(tree)
    first = _server()

    def work() -> None:
        assert KEEPER.server is None
        assert _call(tree)
        assert _server() != first

    in_child(work)
    assert _call(tree)
    assert _server() == first


def test_the_frontend_has_no_further_child(tree: Path) -> None:
    def work() -> None:
        assert _call(tree)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    in_child(work)


def test_an_interrupt_ends_the_hook(tree: Path) -> None:
    code = """
        import os, pyproject_hooks, sys
        from isolated_hooks import IsolatedHookCaller
        hooks = IsolatedHookCaller(sys.argv[1], "backend", ["."])
        hooks.get_requires_for_build_wheel()
        try:
            hooks.get_requires_for_build_wheel({"sleep": "60"})
        except KeyboardInterrupt:
            print("interrupted", hooks.reports[-1].warm)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), tree], stdout=subprocess.PIPE)
    with process:
        while not (tree / "started").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert out.endswith(b"interrupted True\n")


def test_what_the_process_holds(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "hunter2")
    assert _call(tree)
    here = Path(f"/proc/{_server()}")
    assert b"hunter2" not in (here / "environ").read_bytes()
    links = [os.readlink(path) for path in (here / "fd").iterdir()]
    assert {link.split(":")[0] for link in links} == {"/dev/null", "socket", "anon_inode"}
    assert os.readlink(here / "cwd") == "/"


def test_a_launch_has_nothing_of_what_the_process_holds(tree: Path) -> None:
    assert _call(tree)
    server = _server()
    own = {os.readlink(path) for path in Path(f"/proc/{server}/fd").iterdir()}
    (channel,) = [link for link in own if link.startswith("socket:")]
    thread = threading.Thread(target=lambda: _call(tree, sleep=2))
    thread.start()
    try:
        while not (tree / "started").exists():
            time.sleep(0.01)
        # The launcher, the watching process, and pid 1.
        here = _beneath(server)
        links = [link for pid in here for link in _links(pid)]
    finally:
        thread.join()
    assert len(here) >= 2
    assert channel not in links


def _links(pid: int) -> list[str]:
    try:
        return [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    except PermissionError:  # an ordinary user may not look into pid 1
        return []


def _beneath(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in map(int, children) for found in (child, *_beneath(child))]


def test_a_host_that_starts_none_is_asked_only_so_often(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def begin(entry: str) -> Any:
        asked.append(entry)
        raise OSError("not here")

    monkeypatch.setattr(ready, "begin", begin)
    for _ in range(ready._MOST + 2):
        assert not _call(tree)
    assert len(asked) == ready._MOST


def test_a_call_waits_for_a_start_that_another_thread_waits_for() -> None:
    """The process reads the launcher from the workspace of a call, which stays until then."""
    keeper, begun, go = ready._Keeper(), threading.Event(), threading.Event()

    class Slow:
        def finish(self) -> None:
            begun.set()
            go.wait(60)
            raise OSError("not here")

    keeper.starting = Slow()  # type: ignore[assignment]
    first = threading.Thread(target=keeper.settle)
    first.start()
    assert begun.wait(60)
    second = threading.Thread(target=keeper.settle)
    second.start()
    second.join(0.1)
    assert second.is_alive()
    go.set()
    first.join()
    second.join()
