"""A program ends with the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from isolated_hooks.frontends import tether
from isolated_hooks.selftest.world.processes import until

_STARTER = """
import subprocess, sys
sys.path[:0] = {path!r}
from isolated_hooks.frontends.tether import tied
process = subprocess.Popen([*({tied}), "/bin/sleep", "600"])
print(process.pid, flush=True)
process.wait()
"""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("begin", ["tied()", "[]"])
def test_a_program_ends_with_the_process_that_started_it(begin: str) -> None:
    """Also if a SIGKILL ends that process. Without the tie, the program goes on."""
    code = _STARTER.format(path=sys.path, tied=begin)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        until(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()[:20])
        starter.kill()
    if begin == "tied()":
        until(lambda: not _alive(pid))
    else:
        assert _alive(pid)
        os.kill(pid, signal.SIGKILL)


def test_a_program_is_not_started_for_a_parent_that_has_ended() -> None:
    command = [*tether.tied(), "/bin/true"]
    command[-2] = str(os.getpid() + 1)
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert subprocess.run([*tether.tied(), "/bin/true"], check=False).returncode == 0
    missing = subprocess.run([*tether.tied(), "/nonexistent"], check=False, capture_output=True)
    assert (missing.returncode, missing.stderr) == (127, b"/nonexistent: No such file or directory\n")


_LOSES = """
import os, signal, sys, time, weakref
sys.path[:0] = {path!r}
from isolated_hooks.frontends.tether import tie

class Thing:
    pass

print("blocked", flush=True)
sys.stdin.readline()
tie(os.getppid())
"""
# The interrupt comes in the callback of a weak reference, where Python drops it, and once more.
_DROPPED = """
thing = Thing()
reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
del thing
print("dropped", flush=True)
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""


@pytest.mark.parametrize("waits", [False, True])
def test_no_interrupt_is_lost(waits: bool) -> None:
    """One that came before, while it was blocked, takes effect in the end; and so does one after a dropped one."""
    code = _LOSES.format(path=sys.path) + ("time.sleep(60)" if waits else _DROPPED)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"blocked\n"
        if waits:
            process.send_signal(signal.SIGINT)
        output, errors = process.communicate(b"\n")
    assert process.returncode == -signal.SIGINT, errors
    assert output == (b"" if waits else b"dropped\n")
