"""The permit: no build begins without it, and each one sees when it has to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from isolated_hooks.many import supervise as supervise_module
from isolated_hooks.many.permit import END, STOP, Permit, Watch
from isolated_hooks.many.supervise import MAX_LOG, supervise
from isolated_hooks.selftest.world.processes import until

_MAKER = """
import os, sys, time
from isolated_hooks.many.permit import Permit
permit = Permit(sys.argv[1])
if os.fork():
    print(permit.path, flush=True)
time.sleep(60)
"""


def test_a_press_reaches_every_build_and_a_second_one_ends_them(tmp_path: Path) -> None:
    with Permit(os.fspath(tmp_path)) as permit, Watch(permit.path) as one, Watch(permit.path) as other:
        assert (one.asked(), other.asked()) == (0, 0)
        permit.press()
        assert (one.asked(), other.asked(), one.asked()) == (STOP, STOP, STOP)
        with Watch(permit.path) as late:
            assert late.asked() == STOP
        permit.press()
        assert (one.asked(), other.asked()) == (END, END)
        permit.press()
        assert one.asked() == END


def test_no_build_begins_without_it(tmp_path: Path) -> None:
    with Permit(os.fspath(tmp_path)) as permit, Watch(permit.path) as running:
        permit.let_none_begin()
        permit.let_none_begin()
        with pytest.raises(FileNotFoundError):
            Watch(permit.path)
        assert running.asked() == 0


def test_the_end_of_the_maker_ends_them_although_a_fork_of_it_lives(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", _MAKER, os.fspath(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as maker:
        assert maker.stdout is not None
        with Watch(maker.stdout.readline().strip()) as watch:
            assert watch.asked() == 0
            maker.kill()
            maker.wait()
            assert until(lambda: watch.asked() == END)
        os.killpg(maker.pid, signal.SIGKILL)  # the fork


def shell(script: str, watch: Watch) -> tuple[int, str, bool]:
    ended = supervise(["/bin/sh", "-c", script], watch, dict(os.environ))
    return ended.code, ended.log, ended.stopped


def test_a_command_runs_to_its_end_and_its_last_output_is_kept(tmp_path: Path) -> None:
    with Permit(os.fspath(tmp_path)) as permit, Watch(permit.path) as watch:
        assert shell("echo one; echo two >&2; exit 3", watch) == (3, "one\ntwo\n", False)
        assert shell("printf '\\377'", watch) == (0, "\\xff", False)
        code, log, _ = shell("head -c 300000 /dev/zero | tr '\\0' x; echo end", watch)
        assert (code, len(log), log[-5:]) == (0, MAX_LOG, "xend\n")
        assert shell("exec >&- 2>&-; sleep 0.3; exit 4", watch)[0] == 4, "it closes its output and goes on"


def test_an_interrupt_of_the_terminal_does_not_reach_a_command_by_itself(tmp_path: Path) -> None:
    asks = "import os; print(os.getsid(0) == os.getpid())"
    with Permit(os.fspath(tmp_path)) as permit, Watch(permit.path) as watch:
        assert supervise([sys.executable, "-c", asks], watch, dict(os.environ)).log == "True\n"


def test_a_process_that_keeps_the_output_open_does_not_hold_the_build(tmp_path: Path) -> None:
    with Permit(os.fspath(tmp_path)) as permit, Watch(permit.path) as watch:
        code, log, _ = shell("sleep 50 & echo $!", watch)
        os.kill(int(log), signal.SIGKILL)
    assert code == 0


def test_a_command_is_interrupted_and_then_killed(tmp_path: Path) -> None:
    polite = "trap 'echo asked; exit 7' INT; echo ready; while :; do sleep 0.1; done"
    deaf = "trap '' INT; echo ready; while :; do sleep 0.1; done"
    with Permit(os.fspath(tmp_path)) as permit, Watch(permit.path) as watch:
        ended: dict[str, tuple[int, str, bool]] = {}

        def run(script: str) -> None:
            ended[script] = shell(script, watch)

        threads = [threading.Thread(target=run, args=(script,)) for script in (polite, deaf)]
        for thread in threads:
            thread.start()
        permit.press()
        threads[0].join()
        # It may be asked before it has set its trap.
        assert ended[polite] in ((7, "ready\nasked\n", True), (-signal.SIGINT, "", True))
        permit.press()
        threads[1].join()
        assert ended[deaf][0] in (-signal.SIGKILL, -signal.SIGINT)
        assert ended[deaf][2]


def test_a_command_that_has_lost_an_interrupt_gets_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise_module, "_AGAIN", 0.1)
    loses = f"trap 'trap \"exit 7\" INT' INT; touch {tmp_path}/ready; while :; do sleep 0.1; done"
    with Permit(os.fspath(tmp_path)) as permit, Watch(permit.path) as watch:
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(shell(loses, watch)[0]))
        thread.start()
        assert until((tmp_path / "ready").exists)
        permit.press()
        thread.join()
    assert codes == [7]
