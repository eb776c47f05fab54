"""Errors as frontends use them: they pass errors between processes, and log their repr()."""

from __future__ import annotations

import copy
import pickle

import pytest

from isolated_hooks.errors import (
    HookKilledError,
    HookProcessError,
    HookTimeoutError,
    IsolatedHooksError,
    PolicyError,
    SandboxSetupError,
    SandboxUnavailableError,
    SwapError,
    UntrustedResultError,
)

ERRORS = (
    PolicyError("limits: a str"),
    SandboxUnavailableError(["network is missing"], "allow it"),
    SandboxSetupError("mounts", syscall="mount", path="/proc", errno=1),
    SandboxSetupError("starting the launcher", reason="the launcher exited without reporting a status"),
    HookProcessError(1, ["build_wheel"]),
    HookTimeoutError(-15, ["build_wheel"], limit="wall_time", seconds=2.5),
    HookKilledError(-9, ["build_wheel"], limit="memory", value=1 << 30),
    UntrustedResultError("a rule", "\x1b" * 300),
    SwapError("nothing to swap"),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_can_be_pickled_and_copied(error: IsolatedHooksError) -> None:
    """If an error cannot be unpickled, a pool of processes breaks or waits forever."""
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


@pytest.mark.parametrize("text", ["##vso[task.setvariable]x", "a\n::add-mask::x", "\x1b]0;x\x07", "\u202e"])
def test_the_repr_and_the_args_of_a_refusal_are_escaped(text: str) -> None:
    error = UntrustedResultError("a rule", text)
    assert text not in repr(error)
    assert text not in error.args
    assert "##vso[" not in repr(error)


def test_the_repr_of_a_failed_setup_names_the_step_and_the_path() -> None:
    error = SandboxSetupError("mounts", syscall="mount", path="/x", errno=13)
    assert repr(error) == "SandboxSetupError('could not set up the sandbox: mounts: mount: /x: Permission denied')"
