"""The programs on a search path, and the other paths that these programs need."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from ..errors import PolicyError
from ..files.paths import Filesystem, resolve
from ..files.spelling import normal
from ..text import visible
from .interpreter import interpreter_paths, prefix_entries

__all__ = ["absolute_python", "rustup_home", "search_path", "tool_paths"]

# The data of tools for builds in a ~/.local, where the data of many other programs lie, some with secrets. These tools'
# own "make install" gives them such names, CMake's with its version.
_OF_BUILDS = re.compile(r"(?:aclocal|autoconf|automake|bison|cmake|gettext|libtool|pkgconfig|swig|vala)(?:-[0-9.]+)?")
_VERSION = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}")


def search_path(text: str) -> list[str]:
    """Return the absolute directories of a variable such as ``PATH``; the others depend on the current directory."""
    return [normal(entry) for entry in text.split(":") if os.path.isabs(entry)]


def absolute_python(filesystem: Filesystem, python: str, path: str) -> str:
    """Return an interpreter's absolute path, looked up as subprocess would.

    :param path: the ``PATH`` of the hook
    :raises PolicyError: the interpreter does not exist, or its path is relative
    """
    if os.path.isabs(python):
        # A directory before ".." need not exist inside. We keep a link as the last name, because a venv needs it.
        directory, name = os.path.split(python)
        real, _ = resolve(filesystem, directory)
        return os.path.join(real, name) if ".." in directory.split("/") and real is not None else python
    if python and "/" not in python:
        for entry in search_path(path):
            if resolve(filesystem, f"{entry}/{python}")[0] is not None:
                return f"{entry}/{python}"
    raise PolicyError(f"the interpreter {visible(python)!r} was not found: name an absolute path")


def tool_paths(
    filesystem: Filesystem, entry: str, home: str, selections: Iterable[str] = (), *, own: bool = True
) -> Iterator[str]:
    """Yield the paths that the programs in directory ``entry`` need, besides the directory.

    :param home: the caller's home directory, whose configuration does not belong to any program
    :param selections: the files that say which version of Python pyenv's programs run, besides its own
    :param own: the caller has put the programs there. Otherwise links and files there may name any other prefix
    """
    prefix, name = os.path.split(entry)
    if own and filesystem.kind(f"{prefix}/pyvenv.cfg"):
        yield from interpreter_paths(filesystem, f"{entry}/python", bases=None)
    if own and name == "shims" and filesystem.kind(f"{prefix}/libexec/pyenv"):
        yield from (f"{prefix}/{part}" for part in ("libexec", "version"))
        yield from _pyenv_versions(filesystem, prefix, (f"{prefix}/version", *selections))
    elif name == "bin" and os.path.basename(prefix) != ".cargo" and not _is_shared(filesystem, prefix, home):
        # A build does not need the configuration of the programs there, such as npm's, except for conda's.
        conda = filesystem.kind(f"{prefix}/conda-meta") is not None
        entries = prefix_entries(filesystem, prefix)
        yield from (path for path in entries if conda or not path.endswith(("/etc", "/ssl")))
    elif name == "bin" and os.path.basename(prefix) == ".local":
        names = filesystem.names(f"{prefix}/share")
        yield from (f"{prefix}/share/{name}" for name in names if _OF_BUILDS.fullmatch(name))


def _pyenv_versions(filesystem: Filesystem, root: str, selections: Iterable[str]) -> Iterator[str]:
    """Yield the paths of the versions of Python that pyenv runs, but none of the virtual environments beside them.

    A source tree may name the version. It cannot name another project's environment, because that has no standard
    library of its own.
    """
    words = {word for path in selections for word in filesystem.text(path).split() if _VERSION.fullmatch(word)}
    for name in filesystem.names(f"{root}/versions"):
        if any(name == word or name.startswith(f"{word}.") for word in words):
            prefix = f"{root}/versions/{name}"
            if filesystem.kind(prefix) == "directory" and not filesystem.kind(f"{prefix}/pyvenv.cfg"):
                yield from interpreter_paths(filesystem, f"{prefix}/bin/python", bases=None)


def rustup_home(filesystem: Filesystem, entry: str, environ: Mapping[str, str]) -> str | None:
    """Return the directory of rustup's toolchains, if ``entry`` is the directory of its programs."""
    prefix, name = os.path.split(entry)
    if name != "bin" or os.path.basename(prefix) != ".cargo":
        return None
    home = environ.get("RUSTUP_HOME") or f"{os.path.dirname(prefix)}/.rustup"
    return home if filesystem.kind(home) == "directory" else None


def _is_shared(filesystem: Filesystem, prefix: str, home: str) -> bool:
    """Return whether a prefix contains more than programs, as a home directory and its ``.local`` do."""
    real, real_home = (resolve(filesystem, path)[0] for path in (prefix, home))
    return real in ("/", real_home, None) or prefix == home or os.path.basename(real or "") == ".local"
