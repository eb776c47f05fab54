"""The files and directories that build's arguments name: held, or copied, before the first hook can exchange them.

build uses each of them by name after hooks have run. A hook that can write to a directory on the way decides then what
build reads, replaces or removes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from packaging.version import InvalidVersion, Version

from ...errors import PolicyError, UntrustedResultError
from ...files.pinned import Pinned
from ...files.reading import read_file
from ...files.spelling import absolute
from ...files.steered import Trees
from ...files.trees import remove_tree
from ...policy import Policy
from ...results.archives.rules import MAX_DOCUMENT, read_identity
from ...text import visible
from ..copies import Copies
from .stopped import StoppedError

__all__ = ["Inputs", "extracting", "trees_of"]

_Extract = Callable[..., Any]
_TOP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def trees_of(arguments: argparse.Namespace, policy: Policy) -> list[str]:
    """Return the trees that the hooks of a build can write to."""
    named = (arguments.srcdir, getattr(arguments, "sdist_extract_dir", None))
    return [*(absolute(path) for path in named if path and not os.path.isfile(path)), *policy.writable]


class Inputs(contextlib.ExitStack):
    """A context that holds what the arguments name.

    :param trees: the trees that hooks can write to
    :ivar extract: the directory for the unpacked sdist, if the arguments name one
    """

    def __init__(self, trees: Trees, copies: Copies) -> None:
        super().__init__()
        self._trees = trees
        self._copies = copies
        self.extract: Pinned | None = None

    def hold(self, arguments: argparse.Namespace) -> argparse.Namespace:
        """Return the arguments with other paths for the same files and directories.

        :raises PolicyError: build must not use one of them
        """
        try:
            self._hold(arguments)
        except UntrustedResultError as problem:
            # build parses its arguments where it expects no error of its own.
            raise PolicyError(f"{problem.text}: {problem.rule}. Remedy: choose another path") from problem
        return arguments

    def _hold(self, arguments: argparse.Namespace) -> None:
        constraints = getattr(arguments, "dependency_constraints_txt", None)
        if constraints is not None and self._trees.steer(absolute(constraints)):
            with contextlib.suppress(OSError):  # build prints it
                arguments.dependency_constraints_txt = self._copies.plain(absolute(constraints))
        report = getattr(arguments, "report", None)
        if report is not None and self._trees.steer(absolute(report)):
            directory, name = os.path.split(absolute(report))
            arguments.report = os.path.join(self._pinned(directory).here, name)
        extract = getattr(arguments, "sdist_extract_dir", None)
        if extract is not None:
            self.extract = self._pinned(absolute(extract))

    def _pinned(self, path: str) -> Pinned:
        try:
            return self.enter_context(Pinned(path))
        except OSError as error:
            raise PolicyError(f"{visible(path, limit=300)!r} cannot be used: {error.strerror}") from error


def extracting(original: _Extract, inputs: Inputs) -> _Extract:
    """Wrap build's function that unpacks an sdist: into a directory of the user's, we unpack by descriptor.

    build replaces what has the name of the sdist's top directory there, and a hook chose this name.
    """

    @contextlib.contextmanager
    def extract_sdist(archive: Any, top_level: str, *, extract_dir: Any = None) -> Iterator[str]:
        held = inputs.extract
        if extract_dir is None or held is None:
            with original(archive, top_level, extract_dir=extract_dir) as directory:
                yield directory
            return
        try:
            held.check()
            _make_room(held, os.fspath(archive), top_level)
            with original(archive, top_level, extract_dir=held.here):
                held.check()
        except UntrustedResultError as problem:
            raise StoppedError(problem) from problem
        yield os.path.join(held.path, top_level)

    return extract_sdist


def _make_room(held: Pinned, archive: str, top: str) -> None:
    """Remove what an earlier build unpacked there, and nothing else.

    :raises UntrustedResultError: another file or directory has this name
    """
    try:
        name, version = parse_sdist_filename(os.path.basename(archive))
    except (InvalidSdistFilename, InvalidVersion):
        raise UntrustedResultError("the name of an sdist must be NAME-VERSION.tar.gz", archive) from None
    if _identity(top) != (name, version):
        raise UntrustedResultError(f"the top directory of the sdist must be named {name}-{version}", top)
    if not os.path.lexists(f"{held.here}/{top}"):
        return
    if not _is_unpacked(held, top, name):
        raise UntrustedResultError(
            "only an unpacked sdist of the same project is replaced by the unpacked sdist: move this away",
            os.path.join(held.path, top),
        )
    remove_tree(held.fd, top)


def _identity(top: str) -> tuple[str, Version] | None:
    name, _, version = top.rpartition("-")
    if not _TOP.fullmatch(top):
        return None
    try:
        return canonicalize_name(name), Version(version)
    except InvalidVersion:
        return None


def _is_unpacked(held: Pinned, top: str, name: str) -> bool:
    path = f"{held.path}/{top}/PKG-INFO"
    try:
        if os.path.islink(f"{held.path}/{top}"):
            return False
        document = read_file(path, Trees((f"{held.path}/{top}",)), limit=MAX_DOCUMENT)
        return read_identity(document, "PKG-INFO")[0] == name
    except (OSError, UntrustedResultError):
        return False
