"""Entries of a hostile directory, opened by descriptor: we follow no link, never wait, and trust no name.

These functions read the hook's results after every process of the sandbox is dead. We assume that the hook caused every
error of the operating system there, so each becomes an :class:`UntrustedResultError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator

from ..errors import UntrustedResultError
from ..frozen import dataclass
from ..text import is_visible

__all__ = [
    "TEMPORARY_PREFIX",
    "OpenFile",
    "entry_name",
    "entry_names",
    "entry_text",
    "open_file",
    "open_vetted_directory",
    "temporary_name",
]

TEMPORARY_PREFIX = ".isolated-hooks-"
"""The prefix of the names that half-written files have for a moment. No artefact's name begins with it."""

NAME_MAX = 255

# O_NONBLOCK: otherwise open(2) of a FIFO waits for a writer. O_NOCTTY: no terminal may become our controlling terminal.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(frozen=True)
class OpenFile:
    """An open regular file from a hostile directory.

    :ivar name: its name, for messages only
    :ivar fd: the descriptor, open for reading
    :ivar size: its size in bytes when we opened it, from ``fstat``
    """

    name: str
    fd: int
    size: int

    def read(self, count: int) -> bytes:
        """Read up to ``count`` bytes.

        :raises UntrustedResultError: we cannot read the file
        """
        try:
            return os.read(self.fd, count)
        except OSError as error:
            raise _unreadable(self.name, error) from None


def temporary_name() -> bytes:
    """Return a unique name that nobody takes for an artefact."""
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(16)}".encode()


def entry_name(name: str) -> bytes:
    """Vet one path component that a hook chose, and return it as the bytes to use in system calls.

    The bytes are UTF-8 in every locale of the frontend.

    :raises UntrustedResultError: the name is empty, ``.`` or ``..``, contains a separator or a control, bidirectional
        or otherwise invisible character, is longer than 255 bytes, or begins like our own temporary names
    """
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise UntrustedResultError("a file name has to be a single plain path component", name[:NAME_MAX] or "(empty)")
    if not is_visible(name):
        raise UntrustedResultError("a file name must not contain control or invisible characters", name[:NAME_MAX])
    encoded = name.encode()
    if len(encoded) > NAME_MAX:
        raise UntrustedResultError(f"a file name must not be longer than {NAME_MAX} bytes", name[:NAME_MAX])
    if name.startswith(TEMPORARY_PREFIX):
        raise UntrustedResultError(
            f"a file name must not begin with {TEMPORARY_PREFIX}, the prefix of our temporary names", name
        )
    return encoded


def entry_text(name: bytes) -> str:
    """Return as text a name that we read from a hostile directory.

    :raises UntrustedResultError: it is not UTF-8, or :func:`entry_name` refuses it
    """
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise UntrustedResultError("a file name must be UTF-8", repr(name)) from None
    entry_name(text)
    return text


def entry_names(directory_fd: int, *, limit: int) -> list[bytes]:
    """Return the names in a directory, sorted, as bytes of any encoding.

    :param limit: the most entries to accept; we stop reading there, so a flood of names costs nothing
    :raises UntrustedResultError: the directory has more entries, or we cannot read it
    """
    names: list[bytes] = []
    try:
        with os.scandir(directory_fd) as entries:
            for entry in entries:
                if len(names) >= limit:
                    raise UntrustedResultError(f"a directory must not hold more than {limit} entries")
                names.append(os.fsencode(entry.name))
    except OSError as error:
        raise _unreadable("directory", error) from None
    return sorted(names)


@contextlib.contextmanager
def open_file(directory_fd: int, name: bytes, *, limit: int) -> Iterator[OpenFile]:
    """Open a regular file with one link and no special mode bits, without following a link and without waiting.

    :param limit: the most bytes that the file may have
    :raises UntrustedResultError: it is anything else, is larger, or we cannot open it
    """
    text = _for_message(name)
    try:
        fd = os.open(name, _FILE_FLAGS, dir_fd=directory_fd)
    except OSError as error:
        raise _unreadable(text, error) from None
    try:
        yield OpenFile(text, fd, _vetted_size(os.fstat(fd), text, limit))
    finally:
        os.close(fd)


@contextlib.contextmanager
def open_vetted_directory(directory_fd: int, name: bytes) -> Iterator[int]:
    """Open a directory beneath another for reading, without following a link.

    :raises UntrustedResultError: it is not a directory, or we cannot open it
    """
    try:
        fd = os.open(name, _DIRECTORY_FLAGS, dir_fd=directory_fd)
    except OSError as error:
        raise _unreadable(_for_message(name), error) from None
    try:
        yield fd
    finally:
        os.close(fd)


def _vetted_size(status: os.stat_result, text: str, limit: int) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise UntrustedResultError("a result must be a regular file", text)
    # The second link may be a file of the caller: then we would export that file, not one that the hook made.
    if status.st_nlink != 1:
        raise UntrustedResultError(f"a file must have exactly one link (got {status.st_nlink})", text)
    if status.st_mode & _SPECIAL_BITS:
        raise UntrustedResultError("a file must not have setuid, setgid or sticky bits", text)
    if status.st_size > limit:
        raise UntrustedResultError(
            f"a file must not be larger than the limit of {limit} bytes (got {status.st_size})", text
        )
    return status.st_size


def _for_message(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _unreadable(text: str, error: OSError) -> UntrustedResultError:
    if error.errno == errno.ELOOP:  # O_NOFOLLOW, open(2)
        reason = "it is a symbolic link, expected a file or directory of its own"
    else:
        reason = str(error.strerror)
    return UntrustedResultError(f"the hook's file or directory cannot be opened ({reason})", text)
