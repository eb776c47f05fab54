"""Tiny projects with an in-tree backend, and helpers with which tests observe callers and commands from outside.

The backend's artefacts contain no time and no path, so two builds of one project are equal byte for byte.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pyproject_hooks
import pytest

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.launchers import warm
from isolated_hooks.selftest.world.processes import until

__all__ = [
    "CLI",
    "FEW_FILES",
    "INFO",
    "SDIST",
    "WHEEL",
    "WITH_PYTHON",
    "caller",
    "cannot_run",
    "clean_environ",
    "command",
    "contents",
    "facts",
    "nothing_left",
    "outcome",
    "plain_caller",
    "run_text",
    "running",
    "write_project",
]

WHEEL = "example-1.0-py3-none-any.whl"
SDIST = "example-1.0.tar.gz"
INFO = "example-1.0.dist-info"
#: What starts the command line, without a console script.
CLI = (sys.executable, "-m", "isolated_hooks")
#: For commands that use this interpreter: it is not among the system's own programs, but shown where PATH names it.
WITH_PYTHON = {"PATH": f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', os.defpath)}"}

#: Hooks see every installation on PATH, and some calls visit all files that hooks see, so use a short PATH.
FEW_FILES = {"PATH": os.defpath}

_PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "example"
version = "1.0"
"""

_BACKEND = """\
import base64, gzip, hashlib, io, json, os, subprocess, sys, tarfile, time, warnings, zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
METADATA = "Metadata-Version: 2.1\\nName: example\\nVersion: 1.0\\n"
INFO, WHEEL, SDIST = "example-1.0.dist-info", "example-1.0-py3-none-any.whl", "example-1.0.tar.gz"


def tell(**facts):
    with open(os.path.join(HERE, "facts.jsonl"), "a") as file:
        print(json.dumps(facts), file=file)


def get_requires_for_build_wheel(config_settings=None):
    tell(hook="get_requires_for_build_wheel", config_settings=config_settings)
    return ["packaging>=1"]


def get_requires_for_build_editable(config_settings=None):
    tell(hook="get_requires_for_build_editable", config_settings=config_settings)
    return ["packaging>=1", "pip ; python_version < '3'"]


def get_requires_for_build_sdist(config_settings=None):
    tell(hook="get_requires_for_build_sdist", config_settings=config_settings)
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    tell(hook="prepare_metadata_for_build_wheel", config_settings=config_settings)
    os.mkdir(os.path.join(metadata_directory, INFO))
    for name, text in (("METADATA", METADATA), ("WHEEL", "Wheel-Version: 1.0\\n")):
        with open(os.path.join(metadata_directory, INFO, name), "w") as file:
            file.write(text)
    return INFO


def prepare_metadata_for_build_editable(metadata_directory, config_settings=None):
    tell(hook="prepare_metadata_for_build_editable", config_settings=config_settings)
    os.mkdir(os.path.join(metadata_directory, INFO))
    with open(os.path.join(metadata_directory, INFO, "METADATA"), "w") as file:
        file.write(METADATA)
    return INFO


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    tell(hook="build_wheel", config_settings=config_settings, prepared=_prepared(metadata_directory))
    return _wheel(wheel_directory, {"example.py": "ANSWER = 42\\n"})


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    tell(hook="build_editable", config_settings=config_settings, prepared=_prepared(metadata_directory))
    return _wheel(wheel_directory, {"example.pth": os.getcwd() + "\\n"})


def build_sdist(sdist_directory, config_settings=None):
    tell(hook="build_sdist", config_settings=config_settings)
    with open(os.path.join(sdist_directory, SDIST), "wb") as raw:
        with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as sdist:
            files = {name: open(os.path.join(HERE, name)).read() for name in ("pyproject.toml", "backend.py")}
            for name, text in {**files, "PKG-INFO": METADATA}.items():
                member = tarfile.TarInfo("example-1.0/" + name)
                member.size = len(text.encode())
                sdist.addfile(member, io.BytesIO(text.encode()))
    return SDIST


def _prepared(directory):
    return directory and sorted(os.listdir(directory))


def _wheel(directory, files):
    files = {**files, INFO + "/METADATA": METADATA, INFO + "/WHEEL": "Wheel-Version: 1.0\\nTag: py3-none-any\\n"}
    record = ""
    with zipfile.ZipFile(os.path.join(directory, WHEEL), "w") as wheel:
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(text.encode())}\\n"
            wheel.writestr(zipfile.ZipInfo(name), text)
        wheel.writestr(zipfile.ZipInfo(INFO + "/RECORD"), record + INFO + "/RECORD,,\\n")
    return WHEEL
"""


def write_project(
    directory: str | Path, *, extra: str = "", without: Iterable[str] = (), files: Mapping[str, str] | None = None
) -> Path:
    """Write a project and return its directory.

    :param extra: code for the end of the backend, where it can redefine a hook
    :param without: the names of hooks that the backend lacks
    :param files: the contents of further files, by relative path
    """
    root = Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    lines = [_BACKEND, extra, *(f"del {name}" for name in without)]
    written = {"pyproject.toml": _PYPROJECT, "backend.py": "\n".join(lines) + "\n", **(files or {})}
    for name, text in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def caller(project: str | Path, policy: Policy | None = None, **options: Any) -> IsolatedHookCaller:
    """Return our caller for a project of :func:`write_project`."""
    return IsolatedHookCaller(os.fspath(project), "backend", ["."], policy=policy, **options)


def plain_caller(project: str | Path, **options: Any) -> pyproject_hooks.BuildBackendHookCaller:
    """Return the caller of pyproject_hooks, for comparison."""
    return pyproject_hooks.BuildBackendHookCaller(os.fspath(project), "backend", ["."], **options)


def facts(project: str | Path) -> list[dict[str, Any]]:
    """Return the facts that the backend has recorded so far, and delete them."""
    path = Path(project) / "facts.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [json.loads(line) for line in lines]


def contents(directory: str | Path) -> dict[str, bytes | None]:
    """Return the bytes of every file beneath a directory, ``None`` for a directory, by relative path."""
    root = Path(directory)
    found = sorted(root.rglob("*"))
    return {os.fspath(p.relative_to(root)): None if p.is_dir() else p.read_bytes() for p in found}


def outcome(call: Any, *arguments: Any, **options: Any) -> Any:
    """Return the result of a call, or the type and the text of its exception, so that a test can compare two calls."""
    try:
        return call(*arguments, **options)
    except Exception as error:
        return type(error), str(error)


def clean_environ(**changes: str) -> dict[str, str]:
    """Return an environment for a command, without variables that change colour, width, imports or warnings."""
    dropped = ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "PYTHONPATH", "PYTHONWARNINGS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    if "ISOLATED_HOOKS_MUTANT" in os.environ:  # the directory of the package that the mutation lane tries
        kept["PYTHONPATH"] = os.environ["ISOLATED_HOOKS_MUTANT"]
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONHASHSEED": "0", **changes}


def command(
    *arguments: str | Path, cwd: str | Path | None = None, environ: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``isolated-hooks`` with arguments, and return the completed process, with its output as text."""
    return run_text([*CLI, *(os.fspath(argument) for argument in arguments)], cwd, environ, **options)


def run_text(
    argv: Sequence[str | Path],
    cwd: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a command with an empty stdin, and return the completed process, with its output as text."""
    options = {"stdin": subprocess.DEVNULL, **options} if "input" not in options else options
    return subprocess.run(
        argv,
        cwd=cwd,
        env=clean_environ(**(environ or {})),
        capture_output=True,
        check=False,
        text=True,
        errors="surrogateescape",
        **{"timeout": 120, **options},
    )


def running(text: str | Path) -> list[int]:
    """Return all processes of this host, except this one, whose command line contains ``text``."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as file:
                if os.fsencode(text) in file.read():
                    found.append(int(entry))
    return found


def cannot_run(reason: str) -> NoReturn:
    """Skip a test that this host cannot run, or fail it if this run must not skip any test."""
    if os.environ.get("ISOLATED_HOOKS_REQUIRE_SANDBOX") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextlib.contextmanager
def nothing_left(directory: Path, *, at_once: bool = True) -> Iterator[Path]:
    """Redirect temporary files to a separate directory, and check that the context leaves no trace behind.

    Traces are files there, descriptors of this process, and processes with the directory in their command line. A
    launcher has it there, and so does a hook, because of its control directory. The process from which launchers are
    forked belongs to this one, so the context begins and ends without it.

    :param at_once: the processes have ended by then; otherwise they get the time that a kernel needs to end them
    """
    temporary = directory / "temporary files"
    temporary.mkdir()
    before, directory_before = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = os.fspath(temporary)
    warm.end()
    gc.collect()
    descriptors = _descriptors()
    try:
        yield temporary
    finally:
        tempfile.tempdir = directory_before
        os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)
        warm.end()
        left = sorted(os.listdir(temporary))
        if not at_once:
            until(lambda: not running(temporary))
        processes = running(temporary)
        shutil.rmtree(temporary, ignore_errors=True)
    gc.collect()
    assert left == [], "left in the temporary directory"
    assert processes == [], "processes left behind"
    assert _descriptors() == descriptors, "descriptors left open"


def _descriptors() -> dict[str, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor that lists them
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return {number: path for number, path in found.items() if path != f"/proc/{os.getpid()}/fd"}
