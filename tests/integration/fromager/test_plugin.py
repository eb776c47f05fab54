"""The adapter for fromager's planned plug-ins, with the signature that its authors propose."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyproject_hooks
import pytest
from support.projects import WHEEL, facts, nothing_left, write_project

from isolated_hooks import SandboxUnavailableError
from isolated_hooks.frontends.fromager import plugin as plugin

pytestmark = pytest.mark.usefixtures("sandbox")

_FILTERS = SimpleNamespace(keep_env=[], delete_env=[], DEFAULT_KEEP_ENV=())
_CTX = SimpleNamespace(settings=SimpleNamespace(external_commands=_FILTERS), network_isolation=True)
_PROPOSED = "args ctx req sdist_root_dir stdin stdout stderr cwd timeout text env".split()


def arguments(tree: Path) -> dict[str, Any]:
    return {"ctx": _CTX, "req": SimpleNamespace(name="example"), "sdist_root_dir": tree}


def test_the_signatures_are_those_of_the_proposal() -> None:
    for name, names in (
        ("run_sandboxed", _PROPOSED),
        ("run_unconfined", _PROPOSED),
        ("setup_sandbox", _PROPOSED[1:4]),
        ("teardown_sandbox", _PROPOSED[1:4]),
    ):
        parameters = inspect.signature(getattr(plugin, name)).parameters
        assert list(parameters) == names
        assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values() if p.name != "args")


def test_a_command_gets_its_unit_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, secret = tmp_path / "example-1.0" / "example-1.0", tmp_path / "secret.txt"
    tree.mkdir(parents=True)
    secret.write_text("secret")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    environ = {**os.environ, "GIVEN": "1"}
    script = f"cat {secret}; echo $SOME_TOKEN$GIVEN > made.txt; echo out; echo err >&2; exit 7"
    with nothing_left(tmp_path):
        plugin.setup_sandbox(**arguments(tree))
        done = plugin.run_sandboxed(
            ["/bin/sh", "-c", script],
            **arguments(tree),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )
        plugin.teardown_sandbox(**arguments(tree))
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert "No such file" in done.stderr
    assert (tree / "made.txt").read_text() == "1\n"
    assert (tree / "made.txt").stat().st_uid == os.geteuid()
    plain = plugin.run_unconfined(
        ["/bin/sh", "-c", script], **arguments(tree), stdout=subprocess.PIPE, text=True, cwd=tree, env=environ
    )
    assert (plain.returncode, plain.stdout) == (7, "secretout\n")
    assert (tree / "made.txt").read_text() == "secret1\n"


def test_a_time_limit(tmp_path: Path) -> None:
    tree = tmp_path / "tree"  # the directory around it belongs to the build
    tree.mkdir()
    with nothing_left(tmp_path), pytest.raises(subprocess.TimeoutExpired) as caught:
        plugin.run_sandboxed(["/bin/sleep", "60"], **arguments(tree), timeout=0.5)
    assert caught.value.timeout == 0.5


def test_a_hook_call_is_known_as_one(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    (tmp_path / "dist").mkdir()
    codes = []

    def run(cmd: Any, cwd: str | None = None, extra_environ: Any = None) -> None:
        environ = {**os.environ, **extra_environ}
        codes.append(plugin.run_sandboxed(cmd, **arguments(project), cwd=cwd, env=environ).returncode)

    hooks = pyproject_hooks.BuildBackendHookCaller(str(project), "backend", ["."], runner=run)
    with nothing_left(tmp_path):
        assert hooks.build_wheel(str(tmp_path / "dist"), {"key": "value"}) == WHEEL
    assert codes == [0]
    assert facts(project)[-1]["config_settings"] == {"key": "value"}
    assert os.listdir(tmp_path / "dist") == [WHEEL]


def test_a_hook_that_fails_returns_its_code(tmp_path: Path) -> None:
    project = write_project(
        tmp_path / "project",
        extra="def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):\n    sys.exit(5)\n",
    )
    control = tmp_path / "control"
    (tmp_path / "dist").mkdir()
    control.mkdir()
    kwargs = {"wheel_directory": str(tmp_path / "dist"), "config_settings": None, "metadata_directory": None}
    (control / "input.json").write_text(json.dumps({"kwargs": kwargs}))
    script = os.path.join(os.path.dirname(pyproject_hooks.__file__), "_in_process", "_in_process.py")
    names = ("_PYPROJECT_HOOKS_BUILD_BACKEND", "PEP517_BUILD_BACKEND")
    environ = {**os.environ, **dict.fromkeys(names, "backend"), "_PYPROJECT_HOOKS_BACKEND_PATH_JSON": json.dumps(["."])}
    environ["_PYPROJECT_HOOKS_BACKEND_PATH"] = environ["PEP517_BACKEND_PATH"] = str(project)
    done = plugin.run_sandboxed(
        [sys.executable, script, "build_wheel", control], **arguments(project), cwd=project, env=environ
    )
    assert done.returncode == 5


def test_it_is_refused_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise SandboxUnavailableError(["nothing"], "none")

    monkeypatch.setattr(plugin, "check_host", refuse)
    (tmp_path / "tree").mkdir()
    with pytest.raises(SandboxUnavailableError):
        plugin.setup_sandbox(**arguments(tmp_path / "tree"))
