"""A runner that starts the launcher in another user namespace, as fromager does to isolate the network."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support.projects import WHEEL, caller, nothing_left, write_project

from isolated_hooks import IsolationDegradedWarning, Policy, Protection, ProtectionState, SandboxUnavailableError

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning"),
]

_TELL = """
def get_requires_for_build_wheel(config_settings=None):
    tell(hook="get_requires_for_build_wheel", uid=os.getuid())
    return []
"""


def wrapped(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    environ = {**os.environ, **(extra_environ or {})}
    subprocess.run(["unshare", "--uts", "--net", "--map-root-user", *cmd], cwd=cwd, env=environ, check=True)


@pytest.mark.slow
def test_hooks_run_there_and_the_report_says_what_is_degraded(tmp_path: Path) -> None:
    write_project(tmp_path / "project", extra=_TELL)
    with nothing_left(tmp_path):
        hooks = caller(tmp_path / "project", runner=wrapped)
        assert hooks.get_requires_for_build_wheel() == []
        (tmp_path / "dist").mkdir()
        assert hooks.build_wheel(str(tmp_path / "dist")) == WHEEL
    assert len(hooks.reports) == 2
    root = os.geteuid() == 0
    for report in hooks.reports:
        weaker = {s.protection for s in report.protections if s.state is not ProtectionState.ACTIVE}
        assert weaker <= ({Protection.IDENTITY} if root else set())
        assert (report.state(Protection.IDENTITY) is ProtectionState.DEGRADED) == root
    owner = (tmp_path / "project" / "facts.jsonl").stat().st_uid
    assert owner == os.geteuid()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's hooks run as another user")
def test_it_is_refused_if_the_policy_requires_identity(tmp_path: Path) -> None:
    write_project(tmp_path / "project")
    with nothing_left(tmp_path), pytest.raises(SandboxUnavailableError, match="identity is degraded"):
        caller(tmp_path / "project", Policy(require=["identity"]), runner=wrapped).get_requires_for_build_wheel()
    assert not (tmp_path / "project" / "facts.jsonl").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's hooks run as another user")
def test_a_later_runner_without_a_wrapper_is_not_affected(tmp_path: Path) -> None:
    write_project(tmp_path / "project")
    with pytest.warns(IsolationDegradedWarning):
        caller(tmp_path / "project", runner=wrapped).get_requires_for_build_wheel()
    hooks = caller(tmp_path / "project")
    hooks.get_requires_for_build_wheel()
    assert hooks.reports[0].state(Protection.IDENTITY) is ProtectionState.ACTIVE
