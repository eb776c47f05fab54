"""The programs that a search path leads to, and what they need beside themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from ..errors import PolicyError
from ..files.paths import Filesystem, resolve
from ..text import visible
from .interpreter import interpreter_paths, prefix_entries

__all__ = ["absolute_python", "rustup_home", "search_path", "tool_paths"]


def search_path(text: str) -> list[str]:
    """Return the directories of a variable such as ``PATH``, without those that depend on the current one."""
    # normpath() keeps two leading slashes, which POSIX lets mean something else and Linux does not.
    return ["/" + os.path.normpath(entry).lstrip("/") for entry in text.split(":") if os.path.isabs(entry)]


def absolute_python(filesystem: Filesystem, python: str, path: str) -> str:
    """Return an interpreter's path, looked up as subprocess would.

    :param path: the ``PATH`` that it will have
    :raises PolicyError: there is none
    """
    if os.path.isabs(python):
        # What ".." leads back from need not exist inside. The last name may be a link that is to be kept, as in a venv.
        directory, name = os.path.split(python)
        real, _ = resolve(filesystem, directory)
        return os.path.join(real, name) if ".." in directory.split("/") and real is not None else python
    if python and "/" not in python:
        for entry in search_path(path):
            if resolve(filesystem, f"{entry}/{python}")[0] is not None:
                return f"{entry}/{python}"
    raise PolicyError(f"the interpreter {visible(python)!r} was not found: name it by an absolute path")


def tool_paths(filesystem: Filesystem, entry: str, home: str) -> Iterator[str]:
    """Yield what a directory of programs needs beside itself.

    :param home: the caller's home directory, whose configuration is not part of any program
    """
    prefix, name = os.path.split(entry)
    if filesystem.kind(f"{prefix}/pyvenv.cfg"):
        yield from interpreter_paths(filesystem, f"{entry}/python")
    if name == "shims" and filesystem.kind(f"{prefix}/libexec/pyenv"):
        yield from (f"{prefix}/{part}" for part in ("libexec", "versions", "version"))
    elif name == "bin" and os.path.basename(prefix) != ".cargo" and not _is_shared(filesystem, prefix, home):
        # The configuration of what is installed there, such as npm's, is not the build's; but for conda's.
        conda = filesystem.kind(f"{prefix}/conda-meta") is not None
        entries = prefix_entries(filesystem, prefix)
        yield from (path for path in entries if conda or not path.endswith(("/etc", "/ssl")))


def rustup_home(filesystem: Filesystem, entry: str, environ: Mapping[str, str]) -> str | None:
    """Return where rustup keeps the toolchains, if ``entry`` is the directory of its programs."""
    prefix, name = os.path.split(entry)
    if name != "bin" or os.path.basename(prefix) != ".cargo":
        return None
    home = environ.get("RUSTUP_HOME") or f"{os.path.dirname(prefix)}/.rustup"
    return home if filesystem.kind(home) == "directory" else None


def _is_shared(filesystem: Filesystem, prefix: str, home: str) -> bool:
    """Say whether a directory with a ``bin`` has more in it than programs, as a home and its ``.local`` have."""
    real, real_home = (resolve(filesystem, path)[0] for path in (prefix, home))
    return real in ("/", real_home, None) or prefix == home or os.path.basename(real or "") == ".local"
