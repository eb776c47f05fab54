"""A directory in which a test runs a few probes of the hostile backend, and the traces that calls leave there."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyproject_hooks

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.sandbox.status import read_status
from isolated_hooks.selftest.conduct import call_hook
from isolated_hooks.selftest.world.world import BACKEND, make_interpreter
from support.projects import FEW_FILES

HERE = Path(__file__).parent

Attacks = Mapping[str, Mapping[str, Any]]


class Place:
    """A source tree with the hostile backend, a build environment, an output directory, and a TMPDIR of its own.

    :param base: an existing directory for all of these
    :param launcher: the name of the launcher that sets up the sandbox
    """

    def __init__(self, base: Path, launcher: str = "native") -> None:
        self.base = base
        self.launcher = launcher
        self.tree, self.out, self.tmp = (base / name for name in ("tree", "out", "tmp"))
        shutil.copytree(BACKEND, self.tree, ignore=shutil.ignore_patterns("__pycache__"))
        self.out.mkdir()
        self.tmp.mkdir()
        self.python = make_interpreter(base / "prefix", base / "env")

    def caller(
        self, *, sandboxed: bool = True, runner: Any = None, policy: Policy | None = None
    ) -> pyproject_hooks.BuildBackendHookCaller:
        """Return a hook caller for the tree."""
        arguments = (str(self.tree), "hostile", ["."], runner or quiet, str(self.python))
        if sandboxed:
            return IsolatedHookCaller(
                *arguments, policy=dataclasses.replace(policy or Policy(), launcher=self.launcher)
            )
        return pyproject_hooks.BuildBackendHookCaller(*arguments)

    def call(self, attacks: Attacks, *, hook: str = "get_requires_for_build_wheel", **named: Any) -> dict[str, Any]:
        """Call a hook and return the backend's evidence."""
        call_hook(self.caller(**named), hook, str(self.out), {"attacks": json.dumps(attacks)})
        evidence: dict[str, Any] = json.loads((self.tree / "evidence.json").read_text())
        return evidence

    def frontend(self, attacks: Attacks, *, options: Mapping[str, Any], **named: Any) -> subprocess.Popen[bytes]:
        """Start a frontend in a process of its own.

        With :data:`FEW_FILES`: with a mirrored id map it looks through everything that the hook will see.
        """
        described = {
            "tree": str(self.tree),
            "python": str(self.python),
            "hook": "get_requires_for_build_wheel",
            "out": str(self.out),
            "attacks": attacks,
            "launcher": self.launcher,
            **options,
        }
        environ = {**os.environ, **FEW_FILES, "TMPDIR": str(self.tmp)}
        command = [sys.executable, "-B", str(HERE / "frontend.py"), json.dumps(described)]
        return subprocess.Popen(command, env=environ, **named)


def quiet(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    """A frontend's runner that captures what the hook prints."""
    subprocess.run(cmd, cwd=cwd, env={**os.environ, **(extra_environ or {})}, capture_output=True, check=True)


@dataclasses.dataclass(frozen=True)
class Traces:
    """What could be left behind: none of these may grow.

    Only what is ours is counted, as other calls may be made on the same host at the same time.
    """

    processes: frozenset[int]
    mounts: frozenset[str]
    mount_namespaces: frozenset[str]
    files: frozenset[str]
    descriptors: frozenset[str]
    locks: frozenset[str]

    def new_since(self, earlier: Traces) -> dict[str, list[Any]]:
        """Return the traces that are not in an earlier set."""
        pairs = ((f.name, getattr(self, f.name) - getattr(earlier, f.name)) for f in dataclasses.fields(self))
        return {name: sorted(new) for name, new in pairs if new}


def traces(tmp: Path) -> Traces:
    """Return the current traces.

    :param tmp: the TMPDIR of the calls, by which what is theirs is known: see :func:`processes_of`
    """
    return Traces(
        processes=frozenset(processes_of(tmp)),
        mounts=frozenset(sandbox_mounts(Path("/proc/self"), tmp)),
        mount_namespaces=frozenset(_in_sandboxes(tmp).values()),
        files=frozenset(str(path.relative_to(tmp)) for path in tmp.rglob("*")),
        descriptors=frozenset(_links("/proc/self/fd/*")),
        locks=frozenset(locks(tmp)),
    )


def processes_of(tmp: Path) -> list[int]:
    """Return the processes of the sandboxes of calls whose TMPDIR this is.

    Each has a path beneath it in its command line, or sees a mount there: the control directory, for instance.
    """
    return sorted({*processes_naming(tmp), *_in_sandboxes(tmp)})


def processes_naming(path: Path) -> list[int]:
    """Return the ids of the processes that have a path in their command line."""
    pids = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(path) in (directory / "cmdline").read_bytes():
                pids.append(int(directory.name))
    return pids


def sandbox_mounts(process: Path, tmp: Path) -> list[str]:
    """Return those mounts of a process that belong to a sandbox: the sandbox's root, and mounts below ``tmp``.

    Other mounts do not count, because other programs on this host mount things too.

    :param process: the process's directory in /proc
    """
    return [line for line in _mountinfo(process) if " - tmpfs root " in line or _is_beneath(line, tmp)]


def _is_beneath(line: str, tmp: Path) -> bool:
    """Say whether a line of mountinfo, proc_pid_mountinfo(5), is of a mount beneath a directory."""
    return Path(line.split()[4]).is_relative_to(tmp)


def _mountinfo(process: Path) -> list[str]:
    try:
        return (process / "mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []


def _in_sandboxes(tmp: Path) -> dict[int, str]:
    """Return the processes in other mount namespaces that have something beneath ``tmp``, each with its namespace."""
    own = os.readlink("/proc/self/ns/mnt")
    beneath = {own: False}
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        for name in _links(f"{process}/ns/mnt"):
            if name not in beneath and (lines := _mountinfo(process)):  # without any it has just ended
                beneath[name] = any(_is_beneath(line, tmp) for line in lines)
            if beneath.get(name):
                found[int(process.name)] = name
    return found


def locks(tmp: Path) -> list[str]:
    """Return the throw-away uids that this process holds, and those that sandboxes of calls with this TMPDIR hold.

    A uid is held by a byte of a file, and that is locked for as long as a process has the file open.
    """
    pids = (os.getpid(), *processes_of(tmp))
    held = [(pid, link) for pid in pids for link in _links(f"/proc/{pid}/fd/*")]
    return [f"{link} of {pid}" for pid, link in held if link.endswith("/isolated-hooks-uids")]


def cgroups(tmp: Path) -> set[Path]:
    """Return the cgroups that the calls with this TMPDIR may have made, as their workspaces say, and that are there."""
    said = [read_status(str(path)) for path in tmp.glob("isolated-hooks-*/status")]
    named = {Path(os.fsdecode(path)) for status in said for path in status.get("cgroups", ())}
    return {path for path in named if path.exists()}


def _links(pattern: str) -> list[str]:
    targets = []
    for path in Path("/").glob(pattern[1:]):
        with contextlib.suppress(OSError):
            targets.append(os.readlink(path))
    return targets
