"""The removal of directory trees that a hook has made as hard to remove as it could."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator

from .entries import temporary_name

__all__ = ["open_own_directory", "remove_path", "remove_tree"]

# Only Linux has O_PATH; elsewhere this module can be imported, to be told that there is no sandbox.
_PATH_FLAGS = getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(parent_fd: int, name: str | bytes) -> None:
    """Remove ``name`` beneath the directory ``parent_fd``, whatever it is; what is not there is no error.

    No link is followed, and nothing is opened but directories. Neither the depth of the tree nor the length of its
    paths, the number of entries, the names' bytes or the modes of directories of ours matter: each directory is moved
    up to the top before it is emptied, so at most a handful of descriptors is held, and nothing recurses.

    :param name: one path component
    :raises ValueError: where ``name`` is not one path component
    :raises OSError: where something could not be removed; everything else was
    """
    target = os.fsencode(name)
    if target in (b"", b".", b"..") or b"/" in target or b"\0" in target:
        raise ValueError(f"not one path component: {name!r}")
    try:
        if _remove_if_simple(parent_fd, target):
            return
    except FileNotFoundError:
        return
    with open_own_directory(parent_fd, target) as top:
        _Removal(top).run()
    os.rmdir(target, dir_fd=parent_fd)


def remove_path(path: str | os.PathLike[str], ignore_errors: bool = False, *, onexc: object = None) -> None:
    """Remove what is at ``path`` as :func:`remove_tree`, for a frontend that calls this instead of ``shutil.rmtree``.

    That leaves what a mode keeps from its owner, and fails in a deep tree on Python 3.12 and older.

    :param ignore_errors: raise nothing where something cannot be removed; so it is where ``onexc`` is given
    """
    parent, name = os.path.split(os.path.abspath(path))
    try:
        fd = os.open(parent, _READ_FLAGS & ~os.O_NOFOLLOW)
        try:
            remove_tree(fd, name)
        finally:
            os.close(fd)
    except OSError:
        if not ignore_errors and onexc is None:
            raise


class _Removal:
    """One removal: passes over the top directory, until one finds it empty or changes nothing."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._prefix = temporary_name()
        self._serial = itertools.count()
        self._progress = False
        self._error: OSError | None = None

    def run(self) -> None:
        while True:
            self._progress, self._error = False, None
            entries = 0
            for name in _names(self._top):
                entries += 1
                with self._noted():
                    self._remove(name)
            if not entries:
                return
            # An error alone is no reason to stop: a full disk or too many links go away as directories are emptied.
            if not self._progress:
                raise self._error or OSError("the directory changes while it is being removed")

    def _remove(self, name: bytes) -> None:
        """Remove an entry of the top directory; a directory loses its files and hands its directories up first."""
        if not _remove_if_simple(self._top, name):
            with open_own_directory(self._top, name) as directory:
                for child in _names(directory):
                    with self._noted():
                        self._remove_or_raise_up(directory, child)
            os.rmdir(name, dir_fd=self._top)
        self._progress = True

    def _remove_or_raise_up(self, directory: int, child: bytes) -> None:
        if not _remove_if_simple(directory, child):
            # Who is not root needs to write a directory to give it another parent: its ".." changes.
            _make_accessible(directory, child)
            raised = self._prefix + b"-%d" % next(self._serial)
            os.rename(child, raised, src_dir_fd=directory, dst_dir_fd=self._top)
        self._progress = True

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = self._error or error


def _remove_if_simple(directory: int, name: bytes) -> bool:
    """Remove anything but a directory with entries; say whether it is gone."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        pass
    else:
        return True
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError:
        # Not empty, or not to be removed: then opening it, or the rmdir that follows, gives the reason.
        return False
    return True


def _names(directory: int) -> Iterator[bytes]:
    """Yield the names as they are read, so that millions of them need no memory."""
    with os.scandir(directory) as entries:
        for entry in entries:
            yield os.fsencode(entry.name)


def _make_accessible(parent: int, name: bytes) -> None:
    with _located(parent, name):
        pass


@contextlib.contextmanager
def open_own_directory(parent: int, name: bytes) -> Iterator[int]:
    """Open a directory of ours, whatever its mode, to read it and remove its entries. No link is followed.

    :param name: one path component
    """
    with _located(parent, name) as place:
        fd = os.open(".", _READ_FLAGS, dir_fd=place)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _located(parent: int, name: bytes) -> Iterator[int]:
    """Find a directory without the right to read it, and take that right where it is ours to take."""
    place = os.open(name, _PATH_FLAGS, dir_fd=parent)
    try:
        if os.fstat(place).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            # fchmod refuses an O_PATH descriptor; the magic link leads to just what was opened. Where it fails, root
            # may not need it, and whoever does gets the error of the next step.
            with contextlib.suppress(OSError):
                os.chmod(f"/proc/self/fd/{place}", stat.S_IRWXU)
        yield place
    finally:
        os.close(place)
