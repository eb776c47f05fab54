"""The paths that an interpreter needs. We read links and ``pyvenv.cfg`` to find them, and run nothing.

Build requirements may have changed the interpreter of a build environment, so asking it would already run their code
outside the sandbox. Instead we follow its links to the real interpreter and the ``home`` key of ``pyvenv.cfg``
(PEP 405).

pip lets a wheel overwrite ``pyvenv.cfg`` and the interpreter of the environment that it is installed to. It never makes
a link for a wheel. So in a build environment a ``home`` counts only if the frontend itself runs from there; the links
lead to any other base.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from ..files.paths import Filesystem, is_within, resolve
from ..files.spelling import normal

__all__ = ["PREFIX_ENTRIES", "environments_of", "interpreter_paths", "named_bases", "prefix_entries"]

# The entries of a prefix that we show. Everything else, such as a pip.conf with an index password, stays hidden.
PREFIX_ENTRIES = frozenset(
    "bin sbin include lib lib32 lib64 libexec share etc ssl targets nvvm compiler_compat conda-meta pyvenv.cfg".split()
)
_TRIPLET = re.compile(r"[a-z0-9_]+-[a-z0-9_]+-linux-(gnu|musl)[a-z0-9]*")
_STDLIB = re.compile(r"(python|pypy)\d+\.\d+t?")


def interpreter_paths(filesystem: Filesystem, python: str, *, bases: Collection[str] | None) -> tuple[str, ...]:
    """Return the paths that ``python`` needs, such as the entries of its prefixes, without running it.

    :param python: absolute path of the interpreter
    :param bases: the installations that a ``home`` key may name, or ``None`` for any, where the caller wrote the key
    """
    paths: dict[str, None] = {}
    for hop in _links_of(filesystem, python):
        prefix = os.path.dirname(os.path.dirname(hop))
        configuration = filesystem.text(os.path.join(prefix, "pyvenv.cfg"))
        entries = _base_entries(filesystem, prefix)
        if configuration:
            entries = prefix_entries(filesystem, prefix)
            base = _base(configuration)
            if base and (bases is None or _is_one_of(filesystem, base, bases)):
                paths.update(dict.fromkeys(_base_entries(filesystem, base)))
        paths.update(dict.fromkeys(entries))
    # A link may lead anywhere, so we follow it only into the prefix of an interpreter.
    real, _ = resolve(filesystem, python)
    if filesystem.kind(python) != "link" or real is None or any(is_within(real, path) for path in paths):
        return (*paths, *_links_of(filesystem, python))
    return tuple(paths)


def named_bases(filesystem: Filesystem, python: str) -> tuple[str, ...]:
    """Return the installations that the ``home`` keys of the environments of ``python`` name."""
    prefixes = (os.path.dirname(os.path.dirname(hop)) for hop in _links_of(filesystem, python))
    bases = (_base(filesystem.text(os.path.join(prefix, "pyvenv.cfg"))) for prefix in prefixes)
    return tuple(dict.fromkeys(base for base in bases if base and _base_entries(filesystem, base)))


def environments_of(filesystem: Filesystem, python: str) -> tuple[str, ...]:
    """Return the real paths of the virtual environments and installations through which ``python`` is reached."""
    prefixes: dict[str, None] = {}
    for hop in _links_of(filesystem, python):
        prefix, _ = resolve(filesystem, os.path.dirname(os.path.dirname(hop)))
        if prefix is not None and (
            filesystem.kind(os.path.join(prefix, "pyvenv.cfg")) or _base_entries(filesystem, prefix)
        ):
            prefixes[prefix] = None
    return tuple(prefixes)


def prefix_entries(filesystem: Filesystem, prefix: str) -> tuple[str, ...]:
    """Return the paths within ``prefix`` that belong to the programs and libraries installed there."""
    names = (n for n in filesystem.names(prefix) if n in PREFIX_ENTRIES or _TRIPLET.fullmatch(n))
    return tuple(os.path.join(prefix, name) for name in names)


def _base_entries(filesystem: Filesystem, prefix: str) -> tuple[str, ...]:
    """Do the same as :func:`prefix_entries`, but only for a prefix that has a standard library.

    A ``home`` key may name any directory.
    """
    for lib in ("lib", "lib64", "lib32"):
        for name in filesystem.names(os.path.join(prefix, lib)):
            if _STDLIB.fullmatch(name) and filesystem.kind(os.path.join(prefix, lib, name, "os.py")):
                # In a shared prefix such as ~/.local, share/ and etc/ do not belong to the interpreter.
                return tuple(p for p in prefix_entries(filesystem, prefix) if not p.endswith(("/share", "/etc")))
    return ()


def _links_of(filesystem: Filesystem, python: str) -> list[str]:
    hops = [python]
    while len(hops) < 40 and filesystem.kind(hops[-1]) == "link":
        directory, _ = resolve(filesystem, os.path.dirname(hops[-1]))
        if directory is None:
            break
        hops.append(normal(os.path.join(directory, filesystem.readlink(hops[-1]))))
    real, _ = resolve(filesystem, python)
    return [*dict.fromkeys([*hops, *([real] if real else [])])]


def _is_one_of(filesystem: Filesystem, path: str, others: Collection[str]) -> bool:
    real, _ = resolve(filesystem, path)
    return real is not None and any(resolve(filesystem, other)[0] == real for other in others)


def _base(configuration: str) -> str | None:
    """Return the prefix of the ``home`` key, which names the directory of the base's interpreter."""
    for line in configuration.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip().lower() == "home" and os.path.isabs(value.strip()):
            return os.path.dirname(normal(value.strip()))
    return None
