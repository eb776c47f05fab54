"""The changes that bring fromager's hooks into a sandbox, one by one, in this process."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyproject_hooks
import pytest
from support.projects import WHEEL, facts, nothing_left, write_project

from isolated_hooks import HookReport, Policy, SwapError
from isolated_hooks.frontends import fromager as frontend

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.skipif(sys.version_info < (3, 12), reason="fromager needs Python 3.12 or newer"),
    pytest.mark.skipif(importlib.util.find_spec("fromager") is None, reason="fromager is not installed"),
]

_CONNECT = """
import socket
def get_requires_for_build_wheel(config_settings=None):
    with socket.create_connection(("192.0.2.1", 80), timeout=5):  # RFC 5737: nobody's
        return []
"""
_ABOVE = """
def get_requires_for_build_wheel(config_settings=None):
    tell(above=open("../above.txt").read(), git=os.access("../.git", os.W_OK))
    open("../made.txt", "w").close()
    return []
"""


@pytest.fixture
def reports() -> Iterator[list[HookReport]]:
    with frontend.swapped(lambda _: Policy()) as reports:
        yield reports


def made(project: Path, *, root: Path | None = None, isolation: bool = True, log: Path | None = None) -> Any:
    """Return fromager's hook caller for a project of :func:`write_project`."""
    from fromager import dependencies

    filters = SimpleNamespace(keep_env=[], delete_env=[], DEFAULT_KEEP_ENV=())
    ctx = SimpleNamespace(settings=SimpleNamespace(external_commands=filters), network_isolation=isolation)
    environment = SimpleNamespace(
        python=sys.executable, sdist_root_dir=root or project, get_venv_environ=lambda **_: {"VIRTUAL_ENV": sys.prefix}
    )
    return dependencies.get_build_backend_hook_caller(
        ctx=ctx,
        req=SimpleNamespace(name="example"),
        build_dir=project,
        override_environ={},
        build_env=environment,
        log_filename=None if log is None else str(log),
    )


def test_fromagers_runner_still_knows_that_a_hook_wanted_the_network(
    reports: list[HookReport], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from fromager.external_commands import NetworkIsolationError

    caplog.set_level(logging.DEBUG)
    project = write_project(tmp_path / "project", extra=_CONNECT)
    with nothing_left(tmp_path), pytest.raises(NetworkIsolationError):
        made(project).get_requires_for_build_wheel()
    assert reports[0].returncode == 1
    assert "command failed with exit code 1" in caplog.text
    assert "get_requires_for_build_wheel ran in a sandbox" in caplog.text
    # As without a network wrapper, it is an error like any other.
    with pytest.raises(subprocess.CalledProcessError) as caught:
        made(project, isolation=False).get_requires_for_build_wheel()
    assert not isinstance(caught.value, NetworkIsolationError)


def test_the_log_file_has_what_the_hook_printed(reports: list[HookReport], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra="print('from the backend')")
    output = tmp_path / "dist"
    output.mkdir()
    assert made(project, log=tmp_path / "build.log").build_wheel(str(output)) == WHEEL
    assert "from the backend" in (tmp_path / "build.log").read_text()
    assert [report.hook for report in reports] == ["build_wheel"]


def test_a_part_of_a_source_tree_sees_the_whole(reports: list[HookReport], tmp_path: Path) -> None:
    root = tmp_path / "root"
    project = write_project(root / "python", extra=_ABOVE)
    (root / "above.txt").write_text("above")
    (root / ".git").mkdir()
    made(project, root=root).get_requires_for_build_wheel()
    assert facts(project)[-1] == {"above": "above", "git": False}
    assert (root / "made.txt").stat().st_uid == os.geteuid()


def test_a_hook_that_the_policy_leaves_out_keeps_fromagers_wrapper(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    project = write_project(tmp_path / "project")
    with frontend.swapped(lambda _: Policy(hooks=["build_wheel"])) as reports:
        made(project).get_requires_for_build_wheel()
    assert "run_network_isolation" in caplog.text
    assert [report.hook for report in reports] == ["get_requires_for_build_wheel"]


def test_everything_is_put_back(tmp_path: Path) -> None:
    from fromager import build_environment, dependencies, external_commands

    def parts() -> list[object]:
        environment = build_environment.BuildEnvironment
        names = ("run", "get_distributions", "get_sysconfig_path")
        return [
            pyproject_hooks.BuildBackendHookCaller,
            dependencies.get_build_backend_hook_caller,
            external_commands.network_isolation_cmd,
            *(getattr(environment, name) for name in names),
        ]

    before = parts()
    with frontend.swapped(lambda _: Policy()):
        assert all(now is not then for now, then in zip(parts(), before, strict=True))
    assert parts() == before


def test_a_fromager_that_is_built_in_another_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from fromager import dependencies

    monkeypatch.delattr(dependencies, "get_build_backend_hook_caller")
    before = pyproject_hooks.BuildBackendHookCaller
    with (
        pytest.raises(frontend.FromagerError, match="get_build_backend_hook_caller"),
        frontend.swapped(lambda _: Policy()),
    ):
        pass
    assert pyproject_hooks.BuildBackendHookCaller is before


def test_a_caller_of_another_kind_is_refused(reports: list[HookReport], tmp_path: Path) -> None:
    bases = pyproject_hooks.BuildBackendHookCaller.__mro__
    original = next(base for base in bases[1:] if base.__name__ == "BuildBackendHookCaller")
    with pytest.raises(SwapError, match="without a sandbox"):
        original(str(tmp_path), "backend")
