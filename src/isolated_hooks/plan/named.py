"""Paths that a build names: in the values of variables, as ``-I/x/include``, and in its own files, as ``../README``."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator

from ..files.paths import Filesystem, resolve
from ..files.spelling import normal
from ..text import visible
from .environ import EnvironRules

__all__ = ["hidden_beside", "hidden_paths", "parent_documents", "paths_in"]

_PATH = re.compile(r"(?:(?<![\w.)}\]/~-])|(?<=-[ILFB]))/[^\s:;,\"'=()<>|&]+")
_LONGEST, _MOST = 65536, 64
# The files of a project that name a file beside the tree, as ``readme = "../README.md"``: one level up, no further.
_FILES = ("pyproject.toml", "setup.cfg", "setup.py")
_BESIDE = re.compile(r"""(?<![\w./-])\.\./([A-Za-z][\w.-]{0,63})(?=["'\s,\])])""")
# A project may choose a name, so we show only files whose names say that they are for everybody to read.
_DOCUMENT = re.compile(
    r"(?:readme|licen[sc]es?|copying|copyright|notice|authors|contributors|changes|changelog|history|news|version)"
    r"(?:[._-][a-z0-9._-]{0,32})?",
    re.IGNORECASE,
)


def hidden_paths(filesystem: Filesystem, rules: EnvironRules, *, shows: Callable[[str], bool]) -> Iterator[str]:
    """Yield a sentence for each build variable that the hook gets and that names something that is not shown.

    :param shows: tells whether a real path is visible inside
    """
    for name, value in sorted(rules.named().items()):
        for path in paths_in(value):
            real, _ = resolve(filesystem, path)
            if real is not None and real != "/" and not shows(real):
                where = visible(path)
                yield f"{visible(name)} names {where!r}, which is not shown; to show it: --expose {where}"
                break


def paths_in(value: str) -> Iterator[str]:
    """Yield the first absolute paths in the value of a variable."""
    for match in itertools.islice(_PATH.finditer(value[:_LONGEST]), _MOST):
        yield normal(match[0])


def parent_documents(filesystem: Filesystem, source: str) -> list[str]:
    """Return the files beside a source tree that its own files name and that are documents, as a README is.

    :param source: the real path of the source tree
    """
    paths = [path for path in _beside(filesystem, source, _FILES) if filesystem.kind(path) == "file"]
    return [path for path in paths if _DOCUMENT.fullmatch(os.path.basename(path))]


def hidden_beside(filesystem: Filesystem, source: str, *, shows: Callable[[str], bool]) -> Iterator[str]:
    """Yield a sentence for each file beside a source tree that its pyproject.toml names and that is not shown."""
    for path in _beside(filesystem, source, _FILES[:1]):
        if not shows(path):
            where = visible(path)
            yield f"pyproject.toml names {where!r}, which is not shown; to show it: --expose {where}"


def _beside(filesystem: Filesystem, source: str, files: tuple[str, ...]) -> list[str]:
    above = os.path.dirname(source).rstrip("/")
    texts = [filesystem.text(f"{source}/{name}") for name in files]
    names = dict.fromkeys(match[1] for text in texts for match in _BESIDE.finditer(text))
    paths = [f"{above}/{name}" for name in list(names)[:_MOST]]
    return [path for path in paths if filesystem.kind(path) in ("file", "directory")]
