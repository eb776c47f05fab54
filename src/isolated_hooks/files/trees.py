"""The removal of directory trees, even if a hook made them as hard to remove as it could."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator

from .entries import temporary_name
from .spelling import absolute

__all__ = ["open_own_directory", "remove_path", "remove_tree"]

# Only Linux has O_PATH. Elsewhere this module must import too, so that we can report that there is no sandbox.
_PATH_FLAGS = getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(parent_fd: int, name: str | bytes) -> None:
    """Remove ``name``, a file of any kind or a tree, beneath the directory ``parent_fd``. If it is missing, do nothing.

    We follow no link, and open only directories. The depth of the tree, the length of its paths, the number of entries,
    the bytes of their names and the modes of our own directories do not matter: we move each directory up to the top
    before we empty it, so we hold at most a handful of descriptors, and do not recurse.

    :param name: one path component
    :raises ValueError: ``name`` is not one path component
    :raises OSError: we could not remove some entry; we removed all the others
    """
    target = os.fsencode(name)
    if target in (b"", b".", b"..") or b"/" in target or b"\0" in target:
        raise ValueError(f"the name {name!r} is not a single path component")
    try:
        if _remove_if_simple(parent_fd, target):
            return
    except FileNotFoundError:
        return
    with open_own_directory(parent_fd, target) as top:
        _Removal(top).run()
    os.rmdir(target, dir_fd=parent_fd)


def remove_path(path: str | os.PathLike[str], ignore_errors: bool = False, *, onexc: object = None) -> None:
    """Remove ``path`` like :func:`remove_tree`, for a frontend that calls this function instead of ``shutil.rmtree``.

    ``shutil.rmtree`` leaves files whose modes shut their owner out, and fails in a deep tree on Python 3.12 and older.

    :param ignore_errors: do not raise if we cannot remove an entry
    :param onexc: if it is not ``None``, we ignore errors too; we never call it
    :raises OSError: we could not remove some entry, and do not ignore errors
    """
    parent, name = os.path.split(absolute(path))
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
    """One removal: we pass over the top directory until a pass finds it empty or changes nothing."""

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
                with self._keeping_first_error():
                    self._remove(name)
            if not entries:
                return
            # An error alone is no reason to stop: a full disk or too many links go away as we empty directories.
            if not self._progress:
                raise self._error or OSError("the directory changes while we remove it")

    def _remove(self, name: bytes) -> None:
        """Remove an entry of the top directory. A directory loses its files, and its directories move up, first."""
        if not _remove_if_simple(self._top, name):
            with open_own_directory(self._top, name) as directory:
                for child in _names(directory):
                    with self._keeping_first_error():
                        self._remove_or_raise_up(directory, child)
            os.rmdir(name, dir_fd=self._top)
        self._progress = True

    def _remove_or_raise_up(self, directory: int, child: bytes) -> None:
        if not _remove_if_simple(directory, child):
            # rename(2): except root, a user needs write permission on a directory to move it: its ".." changes.
            _make_accessible(directory, child)
            raised = self._prefix + b"-%d" % next(self._serial)
            os.rename(child, raised, src_dir_fd=directory, dst_dir_fd=self._top)
        self._progress = True

    @contextlib.contextmanager
    def _keeping_first_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = self._error or error


def _remove_if_simple(directory: int, name: bytes) -> bool:
    """Remove anything except a directory with entries. Return whether it is gone."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        pass
    else:
        return True
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError:
        # It is not empty, or we may not remove it: the caller's next open or rmdir raises the reason.
        return False
    return True


def _names(directory: int) -> Iterator[bytes]:
    """Yield the names as we read them, so that millions of them need no memory."""
    with os.scandir(directory) as entries:
        for entry in entries:
            yield os.fsencode(entry.name)


def _make_accessible(parent: int, name: bytes) -> None:
    with _accessible(parent, name):
        pass


@contextlib.contextmanager
def open_own_directory(parent: int, name: bytes) -> Iterator[int]:
    """Open a directory of ours with any mode, to read it and remove its entries. We follow no link.

    :param name: one path component
    :raises OSError: we cannot open it
    """
    with _accessible(parent, name) as path_fd:
        fd = os.open(".", _READ_FLAGS, dir_fd=path_fd)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _accessible(parent: int, name: bytes) -> Iterator[int]:
    """Yield an ``O_PATH`` descriptor of a directory, and take all rights to it if we may change its mode."""
    path_fd = os.open(name, _PATH_FLAGS, dir_fd=parent)
    try:
        if os.fstat(path_fd).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            # fchmod(2) refuses an O_PATH descriptor; its magic link in /proc leads to exactly the open directory. If
            # chmod fails, root may not need it; for everybody else the next step raises the error.
            with contextlib.suppress(OSError):
                os.chmod(f"/proc/self/fd/{path_fd}", stat.S_IRWXU)
        yield path_fd
    finally:
        os.close(path_fd)
