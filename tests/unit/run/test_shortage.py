"""A fork that fails is tried again for a while, and then names the limits that it may have met."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from isolated_hooks.errors import SandboxSetupError
from isolated_hooks.run.remedies import refusal
from isolated_hooks.run.shortage import shortage_of
from isolated_hooks.sandbox import forking
from isolated_hooks.sandbox.syscalls import SyscallError


def failing(monkeypatch: pytest.MonkeyPatch, times: int, number: int = errno.EAGAIN) -> list[int]:
    """Let the next forks fail. Return a list that grows by one for each."""
    tries: list[int] = []

    def fork() -> int:
        tries.append(1)
        if len(tries) <= times:
            raise OSError(number, os.strerror(number))
        return 4321

    monkeypatch.setattr(forking.os, "fork", fork)
    monkeypatch.setattr(forking.time, "sleep", lambda _: None)
    return tries


def test_a_fork_that_fails_for_a_moment_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = failing(monkeypatch, 3)
    assert forking.fork() == 4321
    assert len(tries) == 4


def test_a_fork_that_goes_on_failing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = failing(monkeypatch, 1000)
    with pytest.raises(SyscallError) as caught:
        forking.fork()
    assert (caught.value.syscall, caught.value.errno) == ("fork", errno.EAGAIN)
    assert len(tries) < 20


def test_no_memory_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = failing(monkeypatch, 1000, errno.ENOMEM)
    with pytest.raises(SyscallError):
        forking.fork()
    assert len(tries) == 1


def test_the_limits_are_named_with_their_values(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/user/job"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/user/job\n")
    (group / "pids.max").write_text("20\n")
    (group / "pids.current").write_text("19\n")
    (group.parent / "pids.max").write_text("max\n")
    text = shortage_of("fork", errno.EAGAIN, root=os.fspath(tmp_path))
    assert "its cgroup /user/job may have 20 and has 19 (pids.max)" in text
    assert "cgroup /user may" not in text
    assert "the sandbox may have" not in text
    text = shortage_of("fork", errno.EAGAIN, processes=1, root=os.fspath(tmp_path))
    assert "the sandbox may have 1 processes (limits: processes)" in text


def test_other_failures_keep_their_words() -> None:
    assert shortage_of("mount", errno.EAGAIN) == shortage_of("fork", errno.ENOMEM) == shortage_of("", 0) == ""


def test_the_throw_away_uids_are_counted() -> None:
    error = refusal({"stage": "identity", "syscall": "", "errno": errno.EAGAIN})
    assert "identity: all 4336 throw-away uids are in use, 61184 to 65519" in str(error)


def test_the_error_names_the_call_and_the_limits() -> None:
    error = refusal({"stage": "starting pid 1", "syscall": "fork", "errno": errno.EAGAIN})
    assert isinstance(error, SandboxSetupError)
    assert "starting pid 1: fork: Resource temporarily unavailable: no process could be started" in str(error)
