"""What a call that went wrong is raised as, from what its status says."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
from typing import Any

import pytest

from isolated_hooks import HookKilledError, HookProcessError, HookTimeoutError, Limits, SandboxSetupError
from isolated_hooks.policy.limits import LIMITS, Unit
from isolated_hooks.run.failures import failure_of, is_cut_short

VALUES = {name: number for number, name in enumerate(LIMITS, start=1)}
LIMITED = Limits(**VALUES)  # type: ignore[arg-type]
PROBLEM = subprocess.CalledProcessError(1, ["runner"])


def failure(status: dict[str, Any], problem: BaseException | None = None, limits: Limits = LIMITED) -> Exception | None:
    return failure_of(status, problem, command="build_wheel", limits=limits)


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_was_met_is_named_with_its_value(name: str) -> None:
    error = failure({"state": "exited", "code": -15, "limit": name}, PROBLEM)
    assert isinstance(error, HookTimeoutError if LIMITS[name].unit is Unit.SECONDS else HookKilledError)
    assert (error.limit, error.returncode, error.cmd) == (name, -15, ["build_wheel"])
    assert VALUES[name] == (error.seconds if isinstance(error, HookTimeoutError) else error.value)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGXCPU, "cpu_time"), (signal.SIGXFSZ, "file_size")])
def test_a_signal_of_the_kernel_is_a_limit_only_where_there_is_one(number: signal.Signals, name: str) -> None:
    status = {"state": "exited", "code": -number, "limit": ""}
    error = failure(status, PROBLEM)
    assert isinstance(error, (HookTimeoutError, HookKilledError))
    assert error.limit == name
    without = dataclasses.replace(LIMITED, **{name: None})  # type: ignore[arg-type]
    assert failure(status, PROBLEM, without) is None
    assert type(failure(status, None, without)) is HookProcessError


def test_a_hook_whose_watcher_has_ended_was_not_killed_by_a_limit() -> None:
    assert isinstance(failure({"state": "exited", "code": -9, "limit": "watcher"}), SandboxSetupError)
    starved = failure({"state": "exited", "code": -9, "limit": "no thread"})
    assert isinstance(starved, SandboxSetupError)
    assert "Resource temporarily unavailable" in str(starved)


def test_what_went_well_is_no_failure_and_a_code_alone_is_one() -> None:
    assert failure({"state": "exited", "code": 0, "limit": ""}) is None
    error = failure({"state": "exited", "code": 3, "limit": ""})
    assert isinstance(error, HookProcessError)
    assert error.returncode == 3
    assert failure({"state": "exited", "code": 3, "limit": ""}, PROBLEM) is None


def test_a_launcher_that_ended_without_a_report() -> None:
    assert isinstance(failure({}), SandboxSetupError)
    assert isinstance(failure({}, PROBLEM), SandboxSetupError)
    assert failure({}, OSError("no such runner")) is None
    assert is_cut_short({"pid": 7})
    killed = failure({"pid": 7})
    assert isinstance(killed, HookProcessError)
    assert killed.returncode == -signal.SIGKILL
    assert failure({"pid": 7}, PROBLEM) is None
    assert not is_cut_short({"pid": 7, "state": "exited"})


def test_a_set_up_that_failed_says_where() -> None:
    status = {"state": "failed", "stage": "working directory", "syscall": "chdir", "path": b"/x", "errno": 2}
    error = failure(status, PROBLEM)
    assert isinstance(error, SandboxSetupError)
    assert (error.stage, error.syscall, error.path) == ("working directory", "chdir", "/x")
