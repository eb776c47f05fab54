"""Every supported version of pyproject_hooks, copies of it under another name, and pip's subclass of its own copy.

Each comparison runs in its own process, with the version in question first on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.projects import INFO, SDIST, WHEEL, cannot_run, clean_environ, contents, facts, write_project

pytestmark = pytest.mark.usefixtures("sandbox")

VERSIONS = ("1.0.0", "1.2.0", "newest")
_FRONTEND = """\
import json, os, pathlib, sys, warnings

name, project, base, canary = sys.argv[1:5]
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)

import importlib
library = importlib.import_module(name)
from isolated_hooks import IsolatedHooksMixin, IsolatedHookCaller

if name == "pyproject_hooks":
    Ours = IsolatedHookCaller
else:
    class Ours(IsolatedHooksMixin, library.BuildBackendHookCaller): pass

def outcome(call, *arguments, **options):
    try:
        return call(*arguments, **options)
    except Exception as error:
        return [type(error).__name__, type(error).__module__.startswith(name), getattr(error, "hook_name", None),
                getattr(error, "backend_name", None), "Traceback" in str(getattr(error, "traceback", ""))]

def everything(Caller, out):
    out = str(pathlib.Path(base, out))
    for made in ("", "metadata", "editable"):
        os.mkdir(os.path.join(out, made))
    hooks = Caller(project, "backend", ["."])
    metadata = outcome(hooks.prepare_metadata_for_build_wheel, out, {"a": "b"})
    return {
        "features": outcome(hooks._supported_features),
        "requires": [outcome(getattr(hooks, "get_requires_for_build_" + k), {"k": k})
                     for k in ("wheel", "sdist", "editable")],
        "metadata": metadata,
        "editable metadata": outcome(hooks.prepare_metadata_for_build_editable, os.path.join(out, "metadata")),
        "wheel": outcome(hooks.build_wheel, out, metadata_directory=os.path.join(out, metadata)),
        "editable": outcome(hooks.build_editable, os.path.join(out, "editable")),
        "sdist": outcome(hooks.build_sdist, out),
        "unavailable": outcome(Caller(project, "no_such", ["."]).get_requires_for_build_wheel),
        "not in path": outcome(Caller(project, "colorsys", ["."]).get_requires_for_build_wheel),
        "missing": outcome(Caller(project, "bare", ["."]).prepare_metadata_for_build_wheel, out, _allow_fallback=False),
        "no editable": outcome(Caller(project, "bare", ["."]).build_editable, out),
        "unsupported": outcome(Caller(project, "bare", ["."]).build_sdist, out),
    }

shown = {}
for place, Caller in (("plain", library.BuildBackendHookCaller), ("ours", Ours)):
    shown[place] = everything(Caller, place)
    del opened[:]
    shown[place + " warned"] = outcome(Caller(project, "warner", ["."]).get_requires_for_build_wheel)
    shown[place + " opened"] = canary in opened
print("RESULT" + json.dumps({**shown, "from": library.__file__}))
"""
# A backend with only the mandatory hooks.
_BARE = """
from backend import build_wheel
class UnsupportedOperation(Exception): pass
def build_sdist(sdist_directory, config_settings=None): raise UnsupportedOperation("not from here")
"""
_WARNER = """
import warnings
def get_requires_for_build_wheel(config_settings=None):
    warnings.warn_explicit("look into this", UserWarning, CANARY, 1)
    return []
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that installs a version of pyproject_hooks into its own directory."""
    directories: dict[str, Path] = {}

    def install(version: str) -> Path:
        if version not in directories:
            directory = tmp_path_factory.mktemp("hooks")
            requirement = "pyproject_hooks" + ("" if version == "newest" else f"=={version}")
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", directory, requirement],
                capture_output=True,
                check=False,
                text=True,
                env=clean_environ(),
            )
            if done.returncode != 0:
                cannot_run(f"{requirement} could not be installed: {done.stderr.strip()[-300:]}")
            directories[version] = directory
        return directories[version]

    return install


def compare(name: str, path: Path, tmp_path: Path) -> tuple[dict[str, Any], str]:
    """Run the frontend above, check the rules for all versions, and return its outcomes and its stderr."""
    canary = tmp_path / "canary.txt"
    canary.write_text("SECRET-OF-THE-FRONTEND\n")
    files = {"bare.py": _BARE, "warner.py": f"CANARY = {str(canary)!r}\n{_WARNER}"}
    project = write_project(tmp_path / "project", files=files)
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", _FRONTEND, name, project, tmp_path, canary],
        env=clean_environ(PYTHONPATH=os.fspath(path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT")[2])
    assert outcomes["from"].startswith(os.fspath(path))
    assert outcomes["ours"] == outcomes["plain"]
    assert contents(tmp_path / "ours") == contents(tmp_path / "plain")
    hook_facts = facts(project)
    half = len(hook_facts) // 2
    assert hook_facts[:half] == hook_facts[half:]
    return outcomes, done.stderr


def check_outcomes(ours: dict[str, Any]) -> None:
    """Check that the comparison means something: every hook worked, and the library raised every error."""
    assert [ours[key] for key in ("features", "metadata", "wheel", "editable", "sdist")] == [
        ["build_editable"],
        INFO,
        WHEEL,
        WHEEL,
        SDIST,
    ]
    assert [len(requires) for requires in ours["requires"]] == [1, 0, 2]
    names = {key: ours[key][:2] for key in ("unavailable", "not in path", "missing", "no editable", "unsupported")}
    assert names["unavailable"] == ["BackendUnavailable", True]
    assert names["missing"] == names["no editable"] == ["HookMissing", True]
    assert names["unsupported"] == ["UnsupportedOperation", True]
    assert ours["missing"][2] == "prepare_metadata_for_build_wheel"


@pytest.mark.network
@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_works_as_without_the_sandbox(version: str, installed: Callable[[str], Path], tmp_path: Path) -> None:
    outcomes, stderr = compare("pyproject_hooks", installed(version), tmp_path)
    check_outcomes(outcomes["ours"])
    assert not outcomes["ours opened"]
    if version == "newest":
        # The plain caller prints a line of the file that a warning names; our caller prints only the warning.
        assert outcomes["plain opened"]
        assert stderr.count("SECRET-OF-THE-FRONTEND") == 1
        assert stderr.count("look into this") == 2


@pytest.mark.network
@pytest.mark.parametrize("version", ["1.0.0", "newest"])
def test_a_vendored_copy_works(version: str, installed: Callable[[str], Path], tmp_path: Path) -> None:
    vendor = tmp_path / "site" / "vendor"
    vendor.mkdir(parents=True)
    (vendor / "__init__.py").touch()
    (vendor / "hooks").symlink_to(installed(version) / "pyproject_hooks")
    # Its modules import each other relatively, as vendored code does.
    outcomes, _ = compare("vendor.hooks", tmp_path / "site", tmp_path)
    check_outcomes(outcomes["ours"])
    assert not outcomes["ours opened"]


_PIP = """\
import json, os, sys
from isolated_hooks import IsolatedHooksMixin
from pip._internal.utils.misc import ConfiguredBuildBackendHookCaller as Original
from pip._internal.utils.subprocess import runner_with_spinner_message

class Holder:
    config_settings = {"from": "pip"}

class Ours(IsolatedHooksMixin, Original): pass

hooks = Ours(Holder(), sys.argv[1], "backend", ["."])
with hooks.subprocess_runner(runner_with_spinner_message("Getting requirements")):
    print(json.dumps([hooks.get_requires_for_build_wheel(), [report.hook for report in hooks.reports]]))
hooks.build_wheel(sys.argv[2])
"""


def test_the_caller_of_pip_works(tmp_path: Path) -> None:
    pytest.importorskip("pip", reason="pip is not installed")
    extra = "\ntell(pids=[p for p in os.listdir('/proc') if p.isdigit()])"
    project = write_project(tmp_path / "project", extra=extra)
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _PIP, project, out],
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [["packaging>=1"], ["get_requires_for_build_wheel"]]
    hook_facts = facts(project)
    assert [entry["config_settings"] for entry in hook_facts if "hook" in entry] == [{"from": "pip"}] * 2
    assert [len(entry["pids"]) < 5 for entry in hook_facts if "pids" in entry] == [True, True]
    assert os.listdir(out) == [WHEEL]
