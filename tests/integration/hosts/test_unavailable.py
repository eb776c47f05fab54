"""Hosts without a sandbox. We refuse them before any hook runs, and name the missing feature and the remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from support.lanes import first_fast
from support.projects import caller, cannot_run, clean_environ, facts
from support.repository import NARROW

from isolated_hooks import SandboxUnavailableError

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.mark.usefixtures("asserts_not_run")
@pytest.mark.parametrize(
    ("what", "value", "words"),
    [
        ("sys.platform", "darwin", "Linux"),
        ("sys.platform", "win32", "Linux"),
        ("platform.machine", lambda: "riscv64", "riscv64"),
        ("platform.release", lambda: "5.4.0-42-generic", "5.12"),
        ("sys.executable", "", "sys.executable"),
    ],
)
def test_an_unsupported_host_is_refused_with_a_remedy(
    what: str, value: Any, words: str, telling_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = caller(telling_project, runner=lambda *_, **__: pytest.fail("the inner runner was called"))
    monkeypatch.setattr(what, value)
    with pytest.raises(SandboxUnavailableError) as caught:
        hooks.get_requires_for_build_wheel()
    assert words in str(caught.value)
    assert caught.value.missing
    assert caught.value.remedy in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(("arguments", "code"), [(["build", "-n"], 3), (["run", "--", "touch", "ran"], 125)])
def test_commands_report_a_system_other_than_linux(arguments: list[str], code: int, telling_project: Path) -> None:
    program = "import sys; sys.platform = 'darwin'; from isolated_hooks.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=telling_project,
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert "namespaces" in done.stderr
    assert "Remedy: build on Linux" in done.stderr
    assert "Traceback" not in done.stderr
    assert facts(telling_project) == []
    assert not (telling_project / "ran").exists()


_NO_NAMESPACES = 'echo 0 > /proc/sys/user/max_user_namespaces || { echo cannot-prepare; exit 99; }; exec "$@"'


def without_user_namespaces(how: str, argv: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command where nobody can create a user namespace. The changes for that end with the process."""
    if how == "filter":
        argv = [sys.executable, os.fspath(NARROW), "unshare=EPERM", "--", *argv]
    else:
        argv = ["unshare", "--user", "--map-root-user", "sh", "-c", _NO_NAMESPACES, "sh", *argv]
    environ = clean_environ(TMPDIR=os.environ.get("TMPDIR", tempfile.gettempdir()))
    return subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=60)


_CALL = """\
import sys
from isolated_hooks import IsolatedHookCaller, SandboxUnavailableError
try:
    IsolatedHookCaller(sys.argv[1], "backend", ["."]).get_requires_for_build_wheel()
except SandboxUnavailableError as error:
    print(len(error.missing), error.remedy)
    print(error)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("asserts_not_run")
@pytest.mark.parametrize("how", first_fast(["filter", "limit"]))
@pytest.mark.parametrize(
    ("arguments", "code"),
    first_fast(
        [
            (["-c", _CALL], 0),
            (["-m", "isolated_hooks", "build", "-n"], 3),
            (["-m", "isolated_hooks", "run", "touch"], 125),
        ]
    ),
    ids=["caller", "build", "run"],
)
def test_no_user_namespaces(how: str, arguments: list[str], code: int, telling_project: Path) -> None:
    if how == "limit" and not shutil.which("unshare"):
        cannot_run("unshare(1) is not installed")
    done = without_user_namespaces(
        how, [sys.executable, *arguments, os.fspath(telling_project)], telling_project.parent
    )
    if "cannot-prepare" in done.stdout or "unshare failed" in done.stderr:
        cannot_run(f"this host refuses such a namespace: {done.stderr}")
    assert done.returncode == code, done.stderr
    printed = done.stdout + done.stderr
    assert "the sandbox is not available on this host: " in printed
    assert "unshare" in printed
    assert "Remedy: " in printed
    assert "Traceback" not in printed
    if how == "limit":
        assert "user.max_user_namespaces" in printed  # the actual obstacle
