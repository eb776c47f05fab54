"""The export of a hook's artefacts: we vet their names, and copy their bytes out of staging by descriptor.

We hash a copy while we write it, and rename it when it is complete, so the destination holds the earlier artefact or
the new one and never half of either. Modes come from the umask; we do not copy owners, times, links and extended
attributes. Errors of the destination (``OSError``, for instance a full disk) pass through and leave no file there.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import stat
from collections.abc import Callable, Iterator

from packaging.utils import parse_sdist_filename, parse_wheel_filename

from ..errors import UntrustedResultError
from ..files.aside import aside
from ..files.entries import (
    OpenFile,
    entry_name,
    entry_names,
    entry_text,
    open_file,
    open_vetted_directory,
    temporary_name,
)
from ..files.trees import remove_tree
from ..frozen import dataclass
from .names import DIST_INFO, split_project

__all__ = [
    "Artefact",
    "Check",
    "export_fallback",
    "export_file",
    "export_metadata",
    "vet_dist_info_name",
    "vet_sdist_name",
    "vet_wheel_name",
]

_BLOCK = 1 << 20
_MAX_STAGED = 10_000
_MAX_TAGS = 1000
# packaging hardly checks project names and tags: it accepts many spaces, quotes and shell characters.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]*")
_MARKER = re.compile(rb"[A-Z0-9_]+_ALREADY_BUILT_WHEEL")
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Check = Callable[[int, str], None]
"""Checks the content of an artefact, given its descriptor and name. It raises :class:`UntrustedResultError`."""


@dataclass(frozen=True)
class Artefact:
    """An exported file or directory.

    :ivar name: its name in the destination
    :ivar size: the size of its contents in bytes
    :ivar sha256: the hexadecimal digest of its contents; for a directory, the digest of the lines that ``sha256sum``
        prints for its files, sorted by path
    """

    name: str
    size: int
    sha256: str


def vet_wheel_name(name: str) -> str:
    """Return ``name`` if it is a wheel's file name (PEP 427, as packaging reads it).

    :raises UntrustedResultError: it is not
    """
    return _vet("a wheel must have a file name that PEP 427 allows", name, _is_wheel_name)


def vet_sdist_name(name: str) -> str:
    """Return ``name`` if it is an sdist's file name, ``.tar.gz`` or ``.zip``.

    That is a name as PEP 625 defines it, or an older form that packaging reads.

    :raises UntrustedResultError: it is not
    """
    return _vet("an sdist must be named NAME-VERSION.tar.gz", name, _is_sdist_name)


def vet_dist_info_name(name: str) -> str:
    """Return ``name`` if it is ``NAME-VERSION.dist-info`` (PEP 427), normalised or not.

    :raises UntrustedResultError: it is not
    """
    return _vet("a metadata directory must be named NAME-VERSION.dist-info", name, _is_dist_info_name)


def export_file(staging_fd: int, name: str, destination_fd: int, *, limit: int, check: Check | None = None) -> Artefact:
    """Copy one artefact from staging to the destination, and replace an earlier one of that name in one step.

    If the destination has a link of that name, we replace it too, and do not follow it.

    :param limit: the most bytes that the artefact may have
    :param check: we call it with a descriptor of the copy and its name, before we rename the copy to that name
    :raises UntrustedResultError: it is not a regular file with one link and without special mode bits, is too large,
        changes its size, or has an impossible name, or ``check`` refuses it
    :raises OSError: an error of the destination; if it has a directory of that name, ``IsADirectoryError``
    """
    entry = entry_name(name)
    with aside(destination_fd) as copies:
        size, digest = _copy_file(staging_fd, entry, copies, entry, limit=limit)
        if check is not None:
            # We check the copy, because only this process has ever had it open.
            with _opened(entry, copies, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC) as copied:
                check(copied, name)
        os.rename(entry, entry, src_dir_fd=copies, dst_dir_fd=destination_fd)
    return Artefact(name, size, digest)


def export_metadata(
    staging_fd: int, name: str, destination_fd: int, *, limit: int, max_files: int = 10_000, max_depth: int = 16
) -> Artefact:
    """Copy a ``*.dist-info`` directory from staging to the destination, and replace any entry of that name.

    :param limit: the most bytes of all its files together
    :param max_files: the most files and directories in it
    :param max_depth: the most levels of directories beneath it
    :returns: the copy, with the size of all its files together
    :raises UntrustedResultError: it holds anything except directories and files that :func:`export_file` accepts, or
        names that are not UTF-8 or not printable, or more than the limits allow
    :raises OSError: an error of the destination
    """
    entry = entry_name(vet_dist_info_name(name))
    copy = _TreeCopy(limit=limit, max_files=max_files, max_depth=max_depth)
    with aside(destination_fd) as copies:
        with open_vetted_directory(staging_fd, entry) as source:
            copy.directory(source, copies, entry, prefix="")
        _replace(destination_fd, copies, entry)
    return Artefact(name, copy.size, copy.digest())


def export_fallback(
    staging_fd: int, destination_fd: int, *, metadata: str, limit: int, check: Check | None = None
) -> tuple[str, ...]:
    """Export the two files that pyproject_hooks leaves when it builds a wheel for ``prepare_metadata_for_build_*``.

    These are the wheel, and an empty marker file; the beginning of its name depends on pyproject_hooks' version. We
    export them only if there is exactly one of each, and the metadata belong to the wheel: the destination may hold
    wheels and files of other projects. Otherwise we export no file, and ``build_wheel`` builds again.

    :param metadata: the vetted name of the metadata directory that the hook returned
    :param limit: the most bytes that the wheel may have
    :param check: the check of the wheel, as for :func:`export_file`
    :returns: the names of the exported files
    :raises UntrustedResultError: both files exist, and :func:`export_file` refuses one
    :raises OSError: an error of the destination
    """
    wheels: list[str] = []
    markers: list[str] = []
    for name in entry_names(staging_fd, limit=_MAX_STAGED):
        status = _status(staging_fd, name)
        if status is None or not stat.S_ISREG(status.st_mode):
            continue
        if _MARKER.fullmatch(name) and status.st_size == 0:
            markers.append(name.decode())
        elif _is_wheel_name(name.decode("utf-8", "replace")):
            wheels.append(name.decode())
    project = split_project(metadata, ending=DIST_INFO)
    if len(wheels) != 1 or len(markers) != 1 or parse_wheel_filename(wheels[0])[:2] != project:
        return ()
    # We export the wheel first: pyproject_hooks looks at it only if it finds the marker.
    export_file(staging_fd, wheels[0], destination_fd, limit=limit, check=check)
    export_file(staging_fd, markers[0], destination_fd, limit=0)
    return wheels[0], markers[0]


class _TreeCopy:
    """The copy of one directory tree, with its size and digests so far. It recurses no deeper than ``max_depth``."""

    def __init__(self, *, limit: int, max_files: int, max_depth: int) -> None:
        self.size = 0
        self._limit = limit
        self._entries_left = max_files
        self._depth_left = self._max_depth = max_depth
        self._digests: dict[str, str] = {}

    def digest(self) -> str:
        lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(self._digests.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def directory(self, source: int, target_parent: int, target_name: bytes, *, prefix: str) -> None:
        names = entry_names(source, limit=self._entries_left)
        self._entries_left -= len(names)
        os.mkdir(target_name, dir_fd=target_parent)
        with _opened(target_name, target_parent) as target:
            for name in names:
                self._entry(source, name, target, path=prefix + entry_text(name))

    def _entry(self, source: int, name: bytes, target: int, *, path: str) -> None:
        status = _status(source, name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            if not self._depth_left:
                raise UntrustedResultError(f"directories must not be nested deeper than {self._max_depth} levels", path)
            self._depth_left -= 1
            with open_vetted_directory(source, name) as child:
                self.directory(child, target, name, prefix=f"{path}/")
            self._depth_left += 1
        else:
            size, self._digests[path] = _copy_file(source, name, target, name, limit=self._limit - self.size)
            self.size += size


def _copy_file(source: int, name: bytes, target: int, target_name: bytes, *, limit: int) -> tuple[int, str]:
    """Copy one file to a new name, and return its size and digest."""
    with open_file(source, name, limit=limit) as opened:
        # We copy no mode. The kernel applies the umask; a process with threads cannot read it without setting it.
        created = os.open(target_name, _CREATE_FLAGS, 0o666, dir_fd=target)
        try:
            result = _copy_bytes(opened, created)
        except BaseException:
            os.close(created)
            raise
        # Not in a finally clause, because some file systems report only at close(2) that the write failed.
        os.close(created)
        return result


def _copy_bytes(source: OpenFile, target: int) -> tuple[int, str]:
    size = 0
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        size += len(block)
        if size > source.size:
            break
        digest.update(block)
        _write(target, block)
    if size != source.size:
        raise UntrustedResultError("a file must not change its size while it is copied", source.name)
    return size, digest.hexdigest()


def _write(fd: int, block: bytes) -> None:
    unwritten = memoryview(block)
    while unwritten:
        unwritten = unwritten[os.write(fd, unwritten) :]


def _replace(directory: int, copies: int, name: bytes) -> None:
    """Rename the copy of a directory to its name, and move an earlier entry aside first.

    rename(2) replaces only an empty directory. We give the earlier entry a name that we sweep, and do not move it into
    ``copies``, because a directory must be writable to get another parent.
    """
    earlier = temporary_name()
    try:
        os.rename(name, earlier, src_dir_fd=directory, dst_dir_fd=directory)
    except FileNotFoundError:
        os.rename(name, name, src_dir_fd=copies, dst_dir_fd=directory)
        return
    try:
        os.rename(name, name, src_dir_fd=copies, dst_dir_fd=directory)
    except BaseException:
        os.rename(earlier, name, src_dir_fd=directory, dst_dir_fd=directory)
        raise
    remove_tree(directory, earlier)


@contextlib.contextmanager
def _opened(name: bytes, parent: int, flags: int = _DIRECTORY_FLAGS) -> Iterator[int]:
    fd = os.open(name, flags, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def _status(directory: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        # The next open raises the reason.
        return None


def _vet(rule: str, name: str, accepts: Callable[[str], bool]) -> str:
    entry_name(name)
    if not accepts(name):
        raise UntrustedResultError(rule, name)
    return name


def _is_wheel_name(name: str) -> bool:
    # Three sets of tags stand for all their combinations, and every reader makes an object of each.
    if math.prod(part.count(".") + 1 for part in name.removesuffix(".whl").split("-")[-3:]) > _MAX_TAGS:
        return False
    try:
        parse_wheel_filename(name)
    except ValueError:
        return False
    return _PLAIN.fullmatch(name) is not None


def _is_sdist_name(name: str) -> bool:
    try:
        parse_sdist_filename(name)
    except ValueError:
        return False
    return _PLAIN.fullmatch(name) is not None


def _is_dist_info_name(name: str) -> bool:
    try:
        split_project(name, ending=DIST_INFO)
    except ValueError:
        return False
    return _PLAIN.fullmatch(name) is not None
