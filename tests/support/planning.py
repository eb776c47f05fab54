"""Hosts to plan for, and what holds of every plan."""

from __future__ import annotations

import os

from isolated_hooks.files.paths import is_within
from isolated_hooks.plan import Plan
from isolated_hooks.sandbox.operations import Bind, Operation, Scratch
from support.fakes import DIR, LAYOUT, Entry, FakeFilesystem, Link, host

__all__ = ["PATH", "check_operations", "made", "places", "python_at", "tree", "venv_at"]

PATH = "/usr/bin:/bin"


def python_at(prefix: str, version: str = "3.12", *, lib: str = "lib") -> dict[str, Entry]:
    """Return an installation of Python."""
    return {
        f"{prefix}/bin/python{version}": "",
        f"{prefix}/bin/python3": Link(f"python{version}"),
        f"{prefix}/bin/python": Link("python3"),
        f"{prefix}/{lib}/python{version}/os.py": "",
        f"{prefix}/include/python{version}/Python.h": "",
        f"{prefix}/share/man/python.1": "",
        f"{prefix}/etc/config": "",
    }


def venv_at(prefix: str, base_python: str) -> dict[str, Entry]:
    """Return a virtual environment made by ``base_python``."""
    return {
        f"{prefix}/pyvenv.cfg": f"home = {os.path.dirname(base_python)}\ninclude-system-site-packages = false\n",
        f"{prefix}/bin/python": Link(base_python),
        f"{prefix}/bin/python3": Link("python"),
        f"{prefix}/lib/python3.12/site-packages/x.py": "",
        f"{prefix}/lib64": Link("lib"),
        f"{prefix}/pip.conf": "index-url = https://user:password@index",
        f"{prefix}/.env": "SECRET=1",
    }


def tree(entries: dict[str, Entry]) -> FakeFilesystem:
    """Return a host with these entries, but for those beneath something that is no directory."""
    kept: dict[str, Entry] = {}
    for path in sorted(entries):
        above = [p for p in kept if p != path and is_within(path, p)]
        if all(kept[p] == DIR for p in above):
            kept[path] = entries[path]
    return host(kept)


def made(files: FakeFilesystem, path: str) -> FakeFilesystem:
    """Return the same with a directory at ``path``, where there can be one, as it is before anything is planned."""
    missing: list[str] = []
    while files.real(path) is None:
        path, name = os.path.split(path)
        missing.insert(0, name)
    directory = os.path.normpath(os.path.join(files.real(path) or "/", *missing))
    return files if files.kind(directory) else files | {directory: DIR}


def places(operation: Operation) -> list[str]:
    return [path for path, _ in operation.targets] if isinstance(operation, Scratch) else [operation.target]


def check_operations(plan: Plan, files: FakeFilesystem) -> None:
    seen: list[str] = []
    for operation in plan.operations:
        for target in places(operation):
            assert target.startswith("/")
            assert os.path.normpath(target) == target
            assert not target.startswith("//")
            assert target not in ("/", "/dev", "/var")
            # An empty directory of the workspace, for a caller whose output directory that is, and nothing of the host.
            assert target != "/home" or (isinstance(operation, Bind) and operation.source == LAYOUT.staging)
            parents = [target[:i] for i in range(1, len(target)) if target[i] == "/"]
            assert not any(files.kind(path) == "link" for path in parents), target
            if isinstance(operation, Bind) and operation.source == target:
                assert files.kind(target) not in (None, "link")
            # It finds its parents, and hides nothing that came before it.
            assert not any(is_within(earlier, target) for earlier in seen if earlier != "/etc"), target
            seen.append(target)
