"""A hook that wants to hold up the launcher or the watching process, or to evade a limit that one of them keeps.

Each attack succeeded once. Descriptors 1 and 2 of a hook are ends of a pipe or of a terminal whose other end the
launcher reads: the hook shares them, and opens them again through /proc, proc_pid_fd(5).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.lanes import fast, first_fast
from support.projects import caller, clean_environ, facts, nothing_left, running, write_project

from isolated_hooks import HookKilledError, HookTimeoutError, Limits, Policy, Protection
from isolated_hooks.plan import Identity
from isolated_hooks.run import trial
from isolated_hooks.selftest.world.processes import until

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning"),
]

_NAMESPACES = frozenset((Identity.USER, Identity.SINGLE, Identity.RANGE, Identity.MIRROR, Identity.SHARED))
_REFUSED = {"namespaces": frozenset(), "no-namespaces": _NAMESPACES, "confined": _NAMESPACES | {Identity.SEPARATE}}

# For half of the time, three processes write bytes to descriptors 1 and 2 and take them back, discard what a terminal
# has taken in, resize the pipe, and set its flags; nothing is left of what they have written. Then one process takes a
# byte back from descriptor 1 at a time of its choice, and looks whether anybody still reads descriptor 2. If not, it
# has won.
_STEAL = """
import array, fcntl, os, random, signal, sys, termios, time

FDS = []

def take_back(fd):
    try:
        if os.isatty(fd):
            termios.tcflush(fd, termios.TCIOFLUSH)
        else:
            os.read(fd, 1)
    except OSError:
        pass

def put(fd):
    try:
        os.write(fd, b"x")
    except OSError:
        pass

def make_noise(end):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    rounds = 0
    while time.monotonic() < end:
        rounds += 1
        for fd in FDS:
            put(fd)
            take_back(fd)
            try:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 4096 << rounds % 3)
            except OSError:
                pass

def is_read(fd):
    unread = array.array("i", [0])
    for _ in range(100):
        fcntl.ioctl(fd, termios.FIONREAD, unread)
        if not unread[0]:
            return True
        time.sleep(0.005)
    return False

def steal(end):
    while time.monotonic() < end:
        put(FDS[0])
        late = time.perf_counter() + random.random() * 0.0005
        while time.perf_counter() < late:
            pass
        take_back(FDS[0])
        time.sleep(0.002)
        if not os.isatty(FDS[1]):
            put(FDS[1])
            if not is_read(FDS[1]):
                open("won", "w").close()
                return

def steal_from_all(seconds):
    for n in (1, 2):
        try:
            fd = os.open(f"/proc/self/fd/{n}", os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
        except PermissionError:  # Landlock lets nobody open a terminal again
            fd = os.dup(n)
        os.set_blocking(fd, False)
        FDS.append(fd)
    start = time.monotonic()
    noisy = []
    for _ in range(3):
        noisy.append(os.fork())
        if not noisy[-1]:
            make_noise(start + seconds / 2)
            os._exit(0)
    for pid in noisy:
        os.waitpid(pid, 0)
    steal(start + seconds)
"""


@pytest.fixture(params=first_fast(list(_REFUSED)))
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the host refuse the identities that come before those of this tier."""
    refused = _REFUSED[request.param]
    if request.param == "confined" and os.geteuid() != 0:
        pytest.skip("only root has a tier between this one and the first")
    if refused:
        unshare = {"syscall": "unshare", "errno": 1, "stage": "identity"}
        monkeypatch.setattr(trial, "refused_identities", lambda *_: refused)
        monkeypatch.setattr(trial, "_tried", {(Identity.USER, (), False, "native"): unshare})
    return str(request.param)


def attacked(code: str, tmp_path: Path, runner: Any = None, **limits: Any) -> None:
    """Call a hook that runs some code under limits."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    extra = (
        f"{_STEAL}\ndef build_wheel(out, config_settings=None, metadata_directory=None):\n{body}\n    return WHEEL\n"
    )
    project = write_project(tmp_path / "project", extra=extra)
    (tmp_path / "out").mkdir()
    policy = Policy(limits=Limits(**limits), allow_degraded=frozenset(Protection))
    hooks = caller(project, policy, runner=runner or Piped())
    error: Exception | None = None
    with nothing_left(tmp_path):
        try:
            hooks.build_wheel(os.fspath(tmp_path / "out"))
        except Exception as problem:
            error = problem
    if error is not None:
        raise error


class _Runner:
    """A frontend's runner that kills a launcher that does not end."""

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        process = self.start(cmd, cwd=cwd, env={**os.environ, **(extra_environ or {})})
        try:
            code = process.wait(900)  # a minute of processor time takes its time on a busy host
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail("the launcher stands still")
        finally:
            self.end(process)
        if code:
            raise subprocess.CalledProcessError(code, cmd)

    def start(self, cmd: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Close descriptors."""


class Piped(_Runner):
    """It reads the output from two pipes."""

    def start(self, cmd: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.reader = threading.Thread(target=process.communicate)
        self.reader.start()
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        self.reader.join()


class Unread(_Runner):
    """It never reads the output, and another process of the caller's fills the same pipe."""

    def start(self, cmd: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        self.read, write = os.pipe()
        process = subprocess.Popen(cmd, stdout=write, stderr=write, **options)
        self.other = subprocess.Popen(["yes"], stdout=write)
        os.close(write)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        os.close(self.read)
        self.other.wait()


class Terminal(_Runner):
    """Its output is a terminal, which it reads or not."""

    def __init__(self, *, reads: bool) -> None:
        self.reads = reads

    def start(self, cmd: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        self.ours, theirs = os.openpty()
        process = subprocess.Popen(cmd, stdout=theirs, stderr=theirs, **options)
        os.close(theirs)
        self.reader = threading.Thread(target=self._read)
        if self.reads:
            self.reader.start()
        return process

    def _read(self) -> None:
        try:
            while os.read(self.ours, 65536):
                pass
        except OSError:
            pass  # EIO: the last process has closed the other end, pty(7)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        if self.reads:
            self.reader.join()
        os.close(self.ours)


_RUNNERS: dict[str, Callable[[], _Runner]] = {
    "pipe": Piped,
    "terminal": lambda: Terminal(reads=True),
    "unread pipe": Unread,
    "unread terminal": lambda: Terminal(reads=False),
}
# What ends the hook, the code that comes after an attack, and the error.
_CASES: dict[str, tuple[dict[str, Any], str, type[Exception]]] = {
    "wall_time": ({"wall_time": 2}, "time.sleep(600)", HookTimeoutError),
    "idle_time": ({"idle_time": 1}, "time.sleep(600)", HookTimeoutError),
    "log_size": ({"log_size": 10**6}, "while True: os.write(1, bytes(4096))", HookKilledError),
    "cpu_time": ({"cpu_time": 1}, "while True: pass", HookTimeoutError),
    "output_size": (
        {"output_size": 2**20},
        "open(out + '/a', 'wb').write(bytes(2**25))\ntime.sleep(600)",
        HookKilledError,
    ),
}


#: Two limits in the first tier, the others there, and some in the other tiers; the rest at night.
_HELD_UP = [("wall_time", "pipe"), ("log_size", "pipe")]
_HELD_UP_MORE = [
    *((limit, "pipe") for limit in ("idle_time", "output_size", "cpu_time")),
    *(("wall_time", runner) for runner in ("terminal", "unread pipe", "unread terminal")),
    ("idle_time", "terminal"),
]


@pytest.mark.parametrize(
    ("limit", "runner", "tier"),
    [
        *first_fast([(*case, "namespaces") for case in (*_HELD_UP, *_HELD_UP_MORE)], len(_HELD_UP)),
        *first_fast([(*case, tier) for tier in list(_REFUSED)[1:] for case in (*_HELD_UP, _HELD_UP_MORE[3])], 0),
        *(
            pytest.param(*case, tier, marks=pytest.mark.nightly)
            for tier in list(_REFUSED)[1:]
            for case in _HELD_UP_MORE
            if case != _HELD_UP_MORE[3]
        ),
    ],
    indirect=["tier"],
)
def test_no_hook_holds_up_a_limit_through_its_output(limit: str, runner: str, tier: str, tmp_path: Path) -> None:
    """Four processes try for a second. Then comes what the limit is for, and the limit ends the hook."""
    limits, code, error = _CASES[limit]
    with pytest.raises(error) as caught:
        attacked(f"steal_from_all(1)\n{code}", tmp_path, _RUNNERS[runner](), **limits)
    assert getattr(caught.value, "limit", None) == limit


@pytest.mark.parametrize("limit", fast(_CASES, [], slow=["wall_time"]))
@pytest.mark.parametrize("runner", fast(["pipe", "terminal"], [], slow=["pipe"]))
def test_no_hook_holds_up_a_limit_in_a_minute(limit: str, runner: str, tmp_path: Path) -> None:
    limits, code, error = _CASES[limit]
    longer = {
        **limits,
        **({"wall_time": 61} if limit == "wall_time" else {"idle_time": 62} if limit == "idle_time" else {}),
    }
    if limit == "cpu_time":
        longer["cpu_time"] = 100
        code = "for _ in range(3): os.fork()\nwhile True: pass"
    with pytest.raises(error) as caught:
        attacked(f"steal_from_all(60)\n{code}", tmp_path, _RUNNERS[runner](), **longer)
    assert getattr(caught.value, "limit", None) == limit


_FRONTEND = """
import sys
from isolated_hooks import IsolatedHookCaller, Policy, Protection
from isolated_hooks.plan import Identity
from isolated_hooks.run import trial
refused = frozenset(map(Identity, sys.argv[3:]))
if refused:
    trial.refused_identities = lambda *_: refused
policy = Policy(allow_degraded=frozenset(Protection))
IsolatedHookCaller(sys.argv[1], "backend", ["."], policy=policy).build_wheel(sys.argv[2])
"""


def frontend(code: str, tmp_path: Path, tier: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a frontend in a process of its own, whose hook runs some code."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    extra = (
        f"{_STEAL}\ndef build_wheel(out, config_settings=None, metadata_directory=None):\n{body}\n    return WHEEL\n"
    )
    project = write_project(tmp_path / "project", extra=extra)
    (tmp_path / "out").mkdir()
    (tmp_path / "tmp").mkdir()
    refused = [identity.value for identity in _REFUSED[tier]]
    command = [sys.executable, "-c", _FRONTEND, os.fspath(project), os.fspath(tmp_path / "out"), *refused]
    return subprocess.Popen(command, env=clean_environ(TMPDIR=os.fspath(tmp_path / "tmp")), **options)


@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=pytest.mark.nightly)])
def test_everything_ends_with_a_frontend_whose_hook_holds_up_its_output(
    seconds: int, tier: str, tmp_path: Path
) -> None:
    code = f"open('begun', 'w').close()\nsteal_from_all({seconds})\nopen('stolen', 'w').close()\ntime.sleep(600)"
    with frontend(code, tmp_path, tier, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        stolen = tmp_path / "project" / "stolen"
        until(lambda: stolen.exists() or process.poll() is not None, seconds=seconds + 120)
        assert stolen.exists()
        assert running(tmp_path / "tmp")
        process.kill()
    assert until(lambda: not running(tmp_path / "tmp"))


# One daemon sleeps, the others run away: each process of theirs starts the next one and ends.
_DAEMONS = """
for n in range(3):
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if n == 0:
            open("daemon", "w").close()
            time.sleep(600)
        while os.fork() == 0:
            time.sleep(0.02)
        os._exit(0)
time.sleep(600)
"""


class _Killer(Piped):
    """It kills the launcher, or its process group, as soon as a daemon of the hook runs."""

    def __init__(self, begun: Path, *, group: bool) -> None:
        self.begun = begun
        self.group = group

    def start(self, cmd: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        process = super().start(cmd, start_new_session=True, **options)
        assert until(self.begun.exists)
        kill = os.killpg if self.group else os.kill
        kill(process.pid, signal.SIGKILL)
        return process


@pytest.mark.parametrize("group", [False, True], ids=["launcher", "process-group"])
def test_no_daemon_outlives_a_launcher_that_its_runner_kills(group: bool, tier: str, tmp_path: Path) -> None:
    """Without namespaces, the kernel ends no process with the launcher but those that have asked for a signal."""
    killer = _Killer(tmp_path / "project" / "daemon", group=group)
    with pytest.raises(subprocess.CalledProcessError):
        attacked(_DAEMONS, tmp_path, killer)


_SHORT_CHILDREN = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
end = time.monotonic() + 300
while time.monotonic() < end:
    if os.fork() == 0:
        start = time.process_time()
        while time.process_time() < start + {seconds}: pass
        os._exit(0)
    try:
        os.wait()
    except ChildProcessError:
        pass  # wait(2) waits for the end of all, but nobody gets their time
"""


@pytest.mark.parametrize("seconds", first_fast([0.01, 0.5]))
def test_children_that_nobody_waits_for_count(seconds: float, tier: str, tmp_path: Path) -> None:
    """The kernel adds the time of a child to its parent's only if the parent does not ignore SIGCHLD."""
    if seconds < 0.1 and not trial.facts()["processor time counter"][0]:
        pytest.skip("this host refuses perf_event_open(2)")
    with pytest.raises(HookTimeoutError) as caught:
        attacked(_SHORT_CHILDREN.format(seconds=seconds), tmp_path, cpu_time=1)
    assert caught.value.limit == "cpu_time"


_MANY_NAMES = """
for n in range(4):
    if os.fork() == 0:
        os.mkdir(out + f"/{n}")
        os.chdir(out + f"/{n}")
        for number in range(60_000): os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY))
        os._exit(0)
"""


@pytest.mark.slow
def test_many_names_exceed_a_limit_themselves(tmp_path: Path) -> None:
    """To look at them takes time, and a file without content has no size."""
    with pytest.raises(HookKilledError) as caught:
        attacked(f"{_MANY_NAMES}\ntime.sleep(600)", tmp_path)
    assert caught.value.limit == "output_size"


@pytest.mark.nightly
def test_many_names_delay_no_other_limit(tmp_path: Path) -> None:
    names = f"{_MANY_NAMES.replace('60_000', '45_000')}\nfor _ in range(4): os.wait()"
    code = f"{names}\n{_SHORT_CHILDREN.format(seconds=0.2)}"
    with pytest.raises(HookTimeoutError) as caught:
        attacked(code, tmp_path, cpu_time=30, wall_time=600)
    assert caught.value.limit == "cpu_time"


_WATCHES = """
import ctypes
library, made = ctypes.CDLL(None), 0
while made < 2000 and library.inotify_init1(0) >= 0: made += 1
tell(uid=os.getuid(), made=made)
return _wheel(out, {})
"""


def test_no_hook_takes_all_of_the_callers_inotify_instances(tier: str, tmp_path: Path) -> None:
    """The kernel counts them for the user, and for the user that has made the user namespace, inotify(7)."""
    attacked(_WATCHES, tmp_path)
    (found,) = facts(tmp_path / "project")
    own = tier == "no-namespaces" or (tier == "namespaces" and os.geteuid() == 0)
    assert found["made"] <= 16 or (own and os.geteuid() == 0)


# Binds the names of all throw-away uids, as an earlier version did to reserve one.
_SQUAT = """
import resource, socket, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held = []
for uid in range(61184, 65520):
    held.append(socket.socket(socket.AF_UNIX))
    try:
        held[-1].bind(f"\\0isolated-hooks/uid/{uid}")
    except OSError:
        pass  # somebody else has it
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root takes a throw-away uid")
def test_no_local_user_takes_all_throw_away_uids(tmp_path: Path) -> None:
    """Any process of this network namespace can bind an abstract socket, whatever its user."""
    squatter = subprocess.Popen([sys.executable, "-c", _SQUAT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with squatter:
        assert squatter.stdout is not None
        if squatter.stdout.readline() != b"held\n":
            pytest.skip("too few descriptors to hold all names")
        attacked("return _wheel(out, {})", tmp_path)
