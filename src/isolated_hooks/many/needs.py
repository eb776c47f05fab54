"""What packages say that they require: build requirements in pyproject.toml, and dependencies in a wheel."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from email.parser import BytesHeaderParser

from packaging.requirements import Requirement

from ..errors import UntrustedResultError
from ..files.reading import read_file
from ..files.steered import Trees
from ..results.archives.tararchive import read_tar
from ..results.archives.weight import check_weight
from ..results.boundedtoml import MAX_PYPROJECT, parse_toml
from ..results.markers import vet_marker
from ..results.metadata import MAX_DOCUMENT
from ..results.requirements import MAX_ITEMS, MAX_REQUIREMENTS, vet_requirement
from .requests import Task

__all__ = ["applies", "build_requirements", "dependencies", "requirements"]

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")


def build_requirements(task: Task) -> list[Requirement]:
    """Return the build requirements in the pyproject.toml of a source that apply to this interpreter.

    There are none in what cannot be read: the build itself says why.
    """
    try:
        document = parse_toml(_pyproject(task))
    except (OSError, UntrustedResultError):
        return []
    system = document.get("build-system")
    texts = system.get("requires") if isinstance(system, dict) else None
    if not isinstance(texts, list):
        return []
    return requirements(text for text in texts[:MAX_ITEMS] if isinstance(text, str))


def _pyproject(task: Task) -> bytes:
    if task.is_tree:
        return read_file(f"{task.source}/pyproject.toml", Trees((task.source,)), limit=MAX_PYPROJECT)
    fd = os.open(task.source, _FLAGS & ~os.O_NOFOLLOW)
    try:
        limit = task.policy.limits.output_size
        contents = read_tar(fd, limit=limit, wanted=_is_pyproject, largest=MAX_PYPROJECT)
    finally:
        os.close(fd)
    found = [content for path, content in contents.items() if _is_pyproject(path) and content is not None]
    return found[0] if len(found) == 1 else b""


def _is_pyproject(path: str) -> bool:
    return path.count("/") == 1 and path.endswith("/pyproject.toml")


def dependencies(wheel: str) -> list[Requirement]:
    """Return what a wheel says that it depends on, of any extra. There is nothing in a wheel that cannot be read."""
    try:
        with open(os.open(wheel, _FLAGS), "rb") as file:
            check_weight(file.fileno(), os.path.basename(wheel))
            with zipfile.ZipFile(file) as archive:
                document = next(iter(_documents(archive)), b"")
        texts = BytesHeaderParser().parsebytes(document).get_all("Requires-Dist", [])
    # zipfile raises many errors for what is no ZIP file.
    except (OSError, UntrustedResultError, zipfile.BadZipFile, ArithmeticError, LookupError, RuntimeError, ValueError):
        return []
    found = [str(text) for text in texts[:MAX_ITEMS]]
    return [*_parsed(found)] if sum(map(len, found)) <= MAX_REQUIREMENTS else []


def _documents(archive: zipfile.ZipFile) -> Iterator[bytes]:
    for info in archive.infolist():
        if _METADATA.fullmatch(info.filename) and info.file_size <= MAX_DOCUMENT:
            with archive.open(info) as file:
                yield file.read(MAX_DOCUMENT)


def requirements(texts: Iterable[str]) -> list[Requirement]:
    """Return those of some requirements that are valid and apply to this interpreter, without their markers."""
    found = [requirement for requirement in _parsed(texts) if applies(requirement, ())]
    for requirement in found:
        requirement.marker = None
    return found


def _parsed(texts: Iterable[str]) -> Iterator[Requirement]:
    for text in texts:
        try:
            requirement = Requirement(vet_requirement(text))
            vet_marker(requirement)
        except (ValueError, UntrustedResultError):
            continue
        yield requirement


def applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Return whether a vetted requirement applies to this interpreter.

    :param extras: the extras of the project that are asked for
    """
    if requirement.marker is None:
        return True
    try:
        return any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    except (ValueError, LookupError, TypeError, RecursionError):
        return False
