"""A hook that somebody observes tries to get more than another one, to blind or stop the observer, or to outlive it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from support.lanes import first_fast
from support.projects import caller, running, write_project

from isolated_hooks import Policy
from isolated_hooks.report import HookReport
from isolated_hooks.sandbox.observing import MOST
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")


def observed(base: Path, code: str, *, observes: bool = True, **policy: Any) -> HookReport:
    """Run code in a hook, and return its report."""
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    hook = f"def get_requires_for_build_sdist(*args):\n{body}    return []\n"
    hooks = caller(write_project(base / "project", extra=hook), Policy(**policy))
    hooks._subprocess_runner.observes = observes  # type: ignore[attr-defined]
    try:
        hooks.get_requires_for_build_sdist()
    finally:
        (base / "project/backend.py").unlink()
    return hooks.reports[-1]


@pytest.mark.parametrize("observes", first_fast((False, True)))
def test_looking_on_allows_nothing(observes: bool, tmp_path: Path) -> None:
    """The kernel goes on with the call that it was given: behind every wall, whatever the caller changes."""
    (tmp_path / "secret").write_text("secret")
    outside = tmp_path / "outside"
    outside.mkdir()
    report = observed(
        tmp_path,
        f"""
import ctypes, stat, threading
libc = ctypes.CDLL(None, use_errno=True)
harmless, wanted = b"/etc/hostname", b"{tmp_path}/secret"
path = ctypes.create_string_buffer(harmless, 4096)
going = True
def flip():
    while going:
        path.value = wanted
        path.value = harmless
thread = threading.Thread(target=flip)
thread.start()
got = set()
for _ in range(3000):
    fd = libc.open(path, 0)
    if fd >= 0:
        got.add(os.read(fd, 64))
        os.close(fd)
going = False
thread.join()
assert got <= {{b"localhost\\n"}}, got
for step in (
    lambda: os.mkdir("{outside}/made"),
    lambda: open("{outside}/made", "w"),
    lambda: os.open("set-id", os.O_CREAT | os.O_WRONLY, 0o4755),
    lambda: os.execv("{tmp_path}/secret", ["secret"]),
):
    try:
        step()
    except OSError:
        continue
    raise SystemExit("the hook was let")
""",
        observes=observes,
    )
    assert report.returncode == 0
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "project/set-id").exists()


@pytest.mark.slow
def test_a_flood_is_bounded_and_told(tmp_path: Path) -> None:
    report = observed(
        tmp_path,
        f"""
for number in range({MOST + 500}):
    os.path.exists(f"/absent/{{number}}")
    os.path.exists("/srv/" + "x" * 200 * (number % 30))
""",
    )
    assert report.returncode == 0
    assert any("asked for more than we keep" in note for note in report.notes)


def test_many_threads_and_signals_do_not_stop_it(tmp_path: Path) -> None:
    """Each signal cancels a notification that nobody has received yet, and the kernel starts the call again."""
    report = observed(
        tmp_path,
        """
import signal, threading
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
def work():
    for number in range(300):
        assert open("/etc/hostname").read() == "localhost\\n"
        assert not os.path.exists(f"/absent/{number}")
    done.append(1)
done = []
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
assert len(done) == 8
""",
    )
    assert report.returncode == 0


def test_a_pointer_to_nowhere_is_the_kernels_to_refuse(tmp_path: Path) -> None:
    report = observed(
        tmp_path,
        """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for call in (
    lambda: libc.open(ctypes.c_void_p(1), 0),
    lambda: libc.openat(-7, b"relative", 0),
    lambda: libc.execve(ctypes.c_void_p(1), None, None),
    lambda: libc.sendmmsg(0, ctypes.c_void_p(1), 2, 0),
    lambda: libc.sendto(-1, ctypes.c_void_p(1), 1 << 40, 0, ctypes.c_void_p(1), 16),
    lambda: libc.stat(b"/" + b"x/" * 3000, ctypes.c_void_p(1)),
):
    assert call() == -1
    assert ctypes.get_errno() in (errno.EFAULT, errno.EBADF, errno.ENOTSOCK, errno.ENAMETOOLONG), ctypes.get_errno()
""",
    )
    assert report.returncode == 0


def test_the_hook_ends_with_its_observer(tmp_path: Path) -> None:
    """Pid 1 of the sandbox is the observer."""
    ended: list[BaseException | HookReport] = []

    def call() -> None:
        try:
            ended.append(observed(tmp_path, f"os.execv('/bin/sh', ['sh', '-c', 'sleep 600; : {tmp_path}/mark'])"))
        except BaseException as problem:
            ended.append(problem)

    thread = threading.Thread(target=call)
    thread.start()
    mark = f": {tmp_path}/mark"
    assert until(lambda: bool(running(mark)))
    (hook,) = running(mark)
    with open(f"/proc/{hook}/stat", encoding="ascii", errors="replace") as file:
        pid_1 = int(file.read().rpartition(")")[2].split()[1])
    os.kill(pid_1, signal.SIGKILL)
    assert until(lambda: not running(mark))
    thread.join()
    assert len(ended) == 1 and isinstance(ended[0], Exception)
