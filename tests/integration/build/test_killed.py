"""A frontend that is killed leaves a build environment and downloads, and the next call removes them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import build
import pytest
from support.lanes import first_fast
from support.projects import clean_environ

pytestmark = pytest.mark.usefixtures("sandbox")

_FRONTEND = """
import contextlib, sys
from build import BuildException
from isolated_hooks.frontends.build import SandboxedEnv

with SandboxedEnv() as environment:
    with contextlib.suppress(BuildException):
        environment.install(["nothing-of-this-name"])
    print(environment.path, flush=True)
    sys.stdin.read()
"""
_NEXT = "from isolated_hooks import Policy; from isolated_hooks.run.command import check_host; check_host(Policy())"
# Before, build chooses the place of an environment alone, and somebody who is killed leaves it.
_OLD = not hasattr(build.env.DefaultIsolatedEnv(), "_requested_path")


@pytest.mark.parametrize("number", first_fast([signal.SIGTERM, signal.SIGKILL]))
def test_a_killed_frontend_leaves_nothing_to_the_next_call(tmp_path: Path, number: int) -> None:
    environ = clean_environ(TMPDIR=os.fspath(tmp_path), PIP_NO_INDEX="1")
    command = [sys.executable, "-c", _FRONTEND]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **streams, text=True, env=environ) as frontend:
        assert frontend.stdout is not None
        path = frontend.stdout.readline().strip()
        assert os.path.dirname(path) == os.fspath(tmp_path)
        subprocess.run([sys.executable, "-c", _NEXT], env=environ, check=True)
        kinds = sorted(name.rpartition("-")[0] for name in os.listdir(tmp_path))
        assert kinds == ["build-env", "build-requirements"], "of a process that lives, everything stays"
        frontend.send_signal(number)
    assert len(os.listdir(tmp_path)) == 2
    subprocess.run([sys.executable, "-c", _NEXT], env=environ, check=True)
    left = os.listdir(tmp_path)
    assert left == [] or (_OLD and all(re.match("build-env-", name) for name in left))


def test_a_frontend_that_ends_leaves_nothing(tmp_path: Path) -> None:
    environ = clean_environ(TMPDIR=os.fspath(tmp_path), PIP_NO_INDEX="1")
    command = [sys.executable, "-c", _FRONTEND]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environ, check=True)
    assert "build-env-" in done.stdout
    assert os.listdir(tmp_path) == []
