"""The trial of this host: what is remembered, which errors say nothing about it, and a launcher that does not work."""

from __future__ import annotations

import errno
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest
from support.fakes import make_plan, no_hang
from support.projects import running
from support.scripted import WORKED, Scripted, Started, failed

from isolated_hooks import Policy, SandboxSetupError, SandboxUnavailableError
from isolated_hooks.files.ownership import Owners
from isolated_hooks.launchers import Launcher, warm
from isolated_hooks.plan import Identity, Plan
from isolated_hooks.run import trial
from isolated_hooks.run.workspace import Workspace

LAST = frozenset(Identity) - {Identity.CONFINED}


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as made:
        yield made


def require(launcher: Launcher, workspace: Workspace, plan: Plan | None = None, *paths: str) -> bool:
    plan = make_plan() if plan is None else plan
    return trial.require_sandbox(plan, lambda: plan, workspace, paths, launcher)


class Commanded(Scripted):
    """A launcher with a command of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *command: str) -> None:
        super().__init__(monkeypatch)
        self._command = list(command)

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        self.started.append(Started(plan, tuple(argv)))
        return self._command


# What a refusal is.


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("unshare", errno.EPERM),
        ("unshare", errno.EINVAL),
        ("write", errno.EROFS),
        ("setresuid", errno.EINVAL),
        ("mount_setattr", errno.EOPNOTSUPP),
        ("mount", errno.EACCES),
        ("pivot_root", errno.ENOSYS),
    ],
)
def test_a_refused_identity_is_remembered_and_the_last_one_is_an_error(
    call: str, number: int, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Scripted(monkeypatch, lambda _: failed(call, number))
    for _ in range(2):
        assert not require(launcher, workspace)
    assert len(launcher.started) == 1
    assert trial.refused_identities(()) == {Identity.USER}
    assert trial.refused_identities((), "another launcher") == frozenset()
    for _ in range(2):
        with pytest.raises((SandboxSetupError, SandboxUnavailableError)):
            require(launcher, workspace, make_plan(refused=LAST))
    assert len(launcher.started) == 3, "what was an error is tried again"
    assert trial.refused_identities(()) == {Identity.USER}


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("mount", errno.ENOENT),
        ("mount", errno.ENOSPC),
        ("setresuid", errno.EAGAIN),
        ("open_tree", errno.ENOMEM),
        ("execve", errno.EPERM),
    ],
)
def test_what_says_nothing_about_the_host_is_an_error_and_not_remembered(
    call: str, number: int, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Scripted(monkeypatch, lambda _: failed(call, number, "a stage of the launcher"))
    for _ in range(2):
        with pytest.raises(SandboxSetupError, match="a stage of the launcher") as caught:
            require(launcher, workspace)
        assert caught.value.errno == number
    assert len(launcher.started) == 2
    assert trial.refused_identities(()) == frozenset()


def test_an_idmapped_mount_is_refused_for_the_filesystems_of_the_trial_alone(
    workspace: Workspace, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(owners=Owners((0, 0)))
    assert plan.identity is Identity.SINGLE
    launcher = Scripted(monkeypatch, lambda _: failed("mount_setattr", errno.EINVAL))
    assert not require(launcher, workspace, plan, str(tmp_path))
    assert trial.refused_identities((str(tmp_path),)) == {Identity.SINGLE}
    assert trial.refused_identities(("/proc",)) == frozenset()


def test_the_last_identity_that_worked_is_known(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Scripted(monkeypatch, lambda s: WORKED if s.identity.confined else failed("unshare", errno.EPERM))
    assert trial.working_identity() is None
    assert not require(launcher, workspace)
    assert trial.working_identity() is None
    assert require(launcher, workspace, make_plan(refused=LAST))
    assert trial.working_identity() is Identity.CONFINED


def test_nothing_of_a_trial_is_left_for_the_hook(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child makes its root there, and its status must not be taken for the hook's."""
    made = [pathlib.Path(workspace.path, name) for name in ("root/new/deep", "scratch/old")]

    def answer(_: Started) -> dict[str, object]:
        for path in made:
            path.mkdir(parents=True)
        return dict(WORKED)

    assert require(Scripted(monkeypatch, answer), workspace)
    assert os.listdir(f"{workspace.path}/root") == []
    assert os.listdir(f"{workspace.path}/scratch") == []
    assert workspace.status() == {}


# A launcher that does not work.


def test_a_launcher_that_cannot_be_started_is_an_error(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Commanded(monkeypatch, f"{workspace.path}/no-such-program")
    with pytest.raises(SandboxSetupError, match="No such file or directory") as caught:
        require(launcher, workspace)
    assert (caught.value.stage, caught.value.path) == ("starting the launcher", f"{workspace.path}/no-such-program")


@pytest.mark.parametrize(("said", "reason"), [("one\nthe last line\n", "the last line"), ("", "exit 7")])
def test_a_launcher_that_reports_nothing_is_an_error_with_its_last_words(
    said: str, reason: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SandboxSetupError, match=f"{reason}$"):
        require(Scripted(monkeypatch, lambda _: None, said=said, code=7), workspace)


def test_a_launcher_that_does_not_end_is_killed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_SECONDS", 0.05)
    marker = f"never-ends-{os.getpid()}"
    launcher = Commanded(monkeypatch, sys.executable, "-I", "-S", "-c", f"import time; time.sleep(600)  # {marker}")
    with no_hang(), pytest.raises(SandboxSetupError, match=r"timed out after 0\.05 seconds"):
        require(launcher, workspace)
    assert running(marker) == []


def test_a_launcher_that_says_much_is_read_to_its_end(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a pipe holds, so it would wait for us for ever."""
    program = "import sys; sys.stdout.write('x' * 1_000_000); print(); print('the end'); sys.exit(3)"
    with no_hang(), pytest.raises(SandboxSetupError, match=r"the end$"):
        require(Commanded(monkeypatch, sys.executable, "-I", "-S", "-c", program), workspace)


def test_the_facts_of_this_host_are_asked_in_a_child_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = subprocess.run, []
    monkeypatch.setattr(subprocess, "run", lambda *a, **o: asked.append(a) or real(*a, **o))
    trial.facts.cache_clear()
    found = trial.facts()
    assert found is trial.facts()
    assert len(asked) == 1
    assert all(isinstance(works, (bool, int)) and isinstance(error, str) for works, error in found.values())
    assert {"memory cgroup", "processor time counter"} <= set(found)


# Whether launches are warm.


def test_why_launches_are_not_warm(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Scripted(monkeypatch)
    assert trial.warm_problem(Policy(warm=False), launcher) == "the policy says warm = false"
    assert trial.warm_problem(Policy(), launcher) == "the launcher native starts a process for each hook"
    launcher.warm = True
    assert trial.warm_problem(Policy(), launcher) == "hooks have no user namespaces here"
    require(launcher, workspace, make_plan(refused=LAST))
    assert trial.warm_problem(Policy(), launcher) == "hooks have no user namespaces here"
    require(launcher, workspace)
    monkeypatch.setattr(warm, "problem", lambda: "the process has ended")
    assert trial.warm_problem(Policy(), launcher) == "the process has ended"


@pytest.mark.parametrize(
    ("policy", "changes", "allowed"),
    [(Policy(), {}, True), (Policy(warm=False), {}, False), (Policy(), {"refused": LAST}, False)],
)
def test_a_hook_that_could_reach_the_process_that_stays_ready_is_not_warm(
    policy: Policy, changes: dict[str, frozenset[Identity]], allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Scripted(monkeypatch)
    plan = make_plan(policy=policy, **changes)
    assert not trial.may_be_warm(plan, launcher)
    launcher.warm = True
    assert trial.may_be_warm(plan, launcher) is allowed
