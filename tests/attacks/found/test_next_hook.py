"""A hook that tries to weaken what the next hook of the same build runs under."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pyproject_hooks
import pytest
from support.attacks.place import quiet

from isolated_hooks import IsolatedHookCaller, Policy, SandboxSetupError
from isolated_hooks.files.ownership import Owners
from isolated_hooks.files.trees import remove_tree
from isolated_hooks.launchers import Launcher
from isolated_hooks.plan import Identity, Layout, Plan, Situation
from isolated_hooks.run import situation, trial
from isolated_hooks.run.hook import HookRun

pytestmark = pytest.mark.usefixtures("sandbox")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's hooks depend on the owners of the tree")

_BACKEND = """
import os

def get_requires_for_build_wheel(config_settings=None):
    exec(config_settings["code"])
    return []
"""
_NEST = """
here = os.open(".", os.O_RDONLY)
for _ in range(3000):
    os.mkdir("d", dir_fd=here)
    deeper = os.open("d", os.O_RDONLY, dir_fd=here)
    os.close(here)
    here = deeper
"""
_TELL = """
status = open("/proc/self/status").read()
open("capabilities", "w").write(status.partition("CapEff:")[2].split()[0])
"""


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "tree"
    path.mkdir()
    (path / "tiny.py").write_text(_BACKEND)
    yield path
    # pytest removes directories by recursion, which fails in a deep tree.
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    remove_tree(fd, "tree")
    os.close(fd)


def _caller(tree: Path, policy: Policy | None = None) -> IsolatedHookCaller:
    return IsolatedHookCaller(str(tree), "tiny", ["."], quiet, policy=policy)


@pytest.mark.slow
def test_a_tree_deeper_than_any_path_gives_the_next_hook_no_capability(tree: Path) -> None:
    """A survey by path ends at PATH_MAX. Before, the next hook then got the rights for a tree of unknown owners."""
    hooks = _caller(tree)
    hooks.get_requires_for_build_wheel({"code": _NEST})
    hooks.get_requires_for_build_wheel({"code": _TELL})
    before, after = (report.protections for report in hooks.reports)
    assert before == after
    if os.geteuid() != 0 or Identity.SINGLE not in trial.refused_identities((str(tree),)):
        assert int((tree / "capabilities").read_text(), 16) == 0


@needs_root
def test_a_tree_whose_owners_nobody_can_find_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root without CAP_DAC_OVERRIDE cannot look into a directory of mode 000, which a hook may make."""
    _caller(tree).get_requires_for_build_wheel({"code": _TELL})
    if Identity.SINGLE in trial.refused_identities((str(tree),)):
        pytest.skip("this host has no idmapped mounts, so the owners decide nothing")
    monkeypatch.setattr(situation, "survey", lambda _: Owners((0, 0), f"{tree}/closed"))
    with pytest.raises(SandboxSetupError, match="owners") as caught:
        _caller(tree).get_requires_for_build_wheel({"code": _TELL})
    assert caught.value.path == f"{tree}/closed"


@needs_root
def test_an_error_while_the_owners_are_looked_for_is_an_error(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> Owners:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "here")

    monkeypatch.setattr(situation, "survey", fail)
    with pytest.raises(SandboxSetupError) as caught:
        _caller(tree).get_requires_for_build_wheel({"code": _TELL})
    assert (caught.value.errno, caught.value.path) == (errno.EMFILE, "here")


def test_the_trial_of_the_host_sees_nothing_of_the_tree(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hook leaves in the tree could make a trial fail, and another identity be chosen."""
    tried: list[bytes] = []
    real_try = trial._try

    def record(plan: Plan, workspace: trial.Workspace, launcher: Launcher) -> dict[str, object]:
        tried.append(Path(workspace.path, "plan").read_bytes())
        return real_try(plan, workspace, launcher)

    monkeypatch.setattr(trial, "_tried", {})
    monkeypatch.setattr(trial, "_try", record)
    monkeypatch.setenv("PATH", f"{tree}/bin:{os.environ['PATH']}")
    for name in (".git", "bin", "deep/er"):
        (tree / name).mkdir(parents=True)
    _caller(tree, Policy(hide=[tree / "deep/er"])).get_requires_for_build_wheel({"code": ""})
    assert tried
    for plan in tried:
        beneath = os.fsencode(tree) + b"/"
        assert beneath not in plan


def test_a_first_launch_that_fails_because_of_the_tree_weakens_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the place of a trial only if it works. Otherwise a trial, which sees nothing of the tree, decides."""
    shown = tmp_path / "shown"
    real_plan = HookRun.make_plan
    attempts: list[str] = []

    def make_plan(self: HookRun, situation: Situation, layout: Layout) -> Plan:
        shown.write_text("")
        plan = real_plan(self, situation, layout)
        attempts.append(plan.identity.value)
        shown.unlink()  # as a process beside the build could do
        return plan

    monkeypatch.setattr(trial, "_tried", {})
    monkeypatch.setattr(HookRun, "make_plan", make_plan)
    policy = Policy(expose=[shown], allow_degraded=["no-namespaces"])
    runner = pyproject_hooks.quiet_subprocess_runner
    hooks = IsolatedHookCaller(str(tree), "tiny", ["."], runner, policy=policy)
    with pytest.raises(SandboxSetupError, match="shown"):
        hooks.get_requires_for_build_wheel({"code": _TELL})
    assert not (tree / "capabilities").exists()
    assert len(attempts) >= 2
    assert attempts[-2] == attempts[-1]  # the trial has found that the host allows it
