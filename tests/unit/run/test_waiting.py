"""Nobody uses a result before the last process of the sandbox has ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from isolated_hooks import SandboxSetupError
from isolated_hooks.run import waiting
from isolated_hooks.run.waiting import wait_for_end
from isolated_hooks.sandbox.status import start_time


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when its input does."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started


def test_a_process_that_lives_on_is_an_error(process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_SECONDS", 0)
    with pytest.raises(SandboxSetupError, match=f"process {process.pid} is still alive"):
        wait_for_end({"pid": process.pid, "born": start_time(process.pid)})


def test_a_process_that_ends_is_waited_for(process: subprocess.Popen[bytes]) -> None:
    born = start_time(process.pid)
    assert process.stdin is not None
    process.stdin.close()
    wait_for_end({"pid": process.pid, "born": born})
    assert process.poll() is not None


def test_another_process_with_the_same_number_is_not(process: subprocess.Popen[bytes]) -> None:
    wait_for_end({"pid": process.pid, "born": start_time(process.pid) + b"1"})
    assert process.poll() is None


def test_without_a_process_there_is_nothing_to_wait_for(process: subprocess.Popen[bytes]) -> None:
    wait_for_end({})
    process.kill()
    process.wait()
    wait_for_end({"pid": process.pid, "born": b"1"})
