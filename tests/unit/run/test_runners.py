"""The runners of pyproject_hooks once more: the same outcome, and an interrupt ends the launcher."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyproject_hooks
import pytest
from support.fakes import no_hang

from isolated_hooks.run.runners import warm_runner

Runner = Callable[..., None]
KNOWN = [pyproject_hooks.default_subprocess_runner, pyproject_hooks.quiet_subprocess_runner]


@pytest.mark.parametrize("runner", KNOWN)
@pytest.mark.parametrize("code", [0, 3])
def test_it_does_what_the_one_of_pyproject_hooks_does(runner: Runner, code: int, tmp_path: Any, capfd: Any) -> None:
    program = (
        f"import os, sys; print(os.getcwd(), os.environ['OF_TEST']); print('err', file=sys.stderr); sys.exit({code})"
    )
    outcomes = []
    for run in (runner, warm_runner(runner)):
        try:
            run([sys.executable, "-c", program], cwd=str(tmp_path), extra_environ={"OF_TEST": "value"})
        except subprocess.CalledProcessError as error:
            outcomes.append((error.returncode, error.cmd, error.output, capfd.readouterr()))
        else:
            outcomes.append((0, None, None, capfd.readouterr()))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == code
    assert warm_runner(runner) is not runner


@pytest.mark.parametrize("runner", KNOWN)
def test_an_interrupt_ends_the_launcher(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox ends with it, so the frontend never leaves one behind that it no longer waits for."""
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen.wait

    def interrupted(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if process not in started:
            started.append(process)
            raise KeyboardInterrupt
        return real(process, timeout)

    program = "import os, time; os.close(1); os.close(2); time.sleep(600)"
    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with no_hang(), pytest.raises(KeyboardInterrupt):
        warm_runner(runner)([sys.executable, "-I", "-S", "-c", program])
    assert [process.returncode for process in started] == [-9]


def test_a_runner_of_somebody_else_is_left_alone() -> None:
    def own(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        """Do anything at all."""

    def default_subprocess_runner(
        cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        """Have the name of theirs, as a vendored copy does."""

    for runner in (own, default_subprocess_runner):
        assert warm_runner(runner) is runner
