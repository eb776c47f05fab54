"""What a hostile directory holds, opened by descriptor: never through a link, never waiting, never trusting a name.

Everything here reads what a hook left behind, after every process of the sandbox is dead. An error of the operating
system on that side is the hook's doing until shown otherwise, so it becomes :class:`UntrustedResultError`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import stat
from collections.abc import Iterator

from ..errors import UntrustedResultError
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
"""How the names begin under which something half-written may stand for a moment. No artefact begins so."""

NAME_MAX = 255

# O_NONBLOCK: opening a FIFO for reading waits for a writer otherwise. O_NOCTTY: a terminal must not become ours.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclasses.dataclass(frozen=True)
class OpenFile:
    """A regular file that was opened from a hostile directory.

    :ivar name: its name, for messages only
    :ivar fd: the descriptor, open for reading
    :ivar size: what ``fstat`` said at opening, in bytes
    """

    name: str
    fd: int
    size: int

    def read(self, count: int) -> bytes:
        """Read up to ``count`` bytes.

        :raises UntrustedResultError: where the file cannot be read
        """
        try:
            return os.read(self.fd, count)
        except OSError as error:
            raise _unreadable(self.name, error) from None


def temporary_name() -> bytes:
    """Return a name that nothing else has, and that nobody takes for an artefact."""
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(16)}".encode()


def entry_name(name: str) -> bytes:
    """Vet one path component that a hook chose, and return it as the bytes to use in system calls.

    The bytes are UTF-8 whatever the locale of the frontend is.

    :raises UntrustedResultError: where it is empty, ``.`` or ``..``, contains a separator, a control, bidirectional or
        otherwise invisible character, is longer than 255 bytes, or is one of our own temporary names
    """
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise UntrustedResultError("a file name must be one plain path component", name[:NAME_MAX] or "(empty)")
    if not is_visible(name):
        raise UntrustedResultError("a file name must not contain control or invisible characters", name[:NAME_MAX])
    encoded = name.encode()
    if len(encoded) > NAME_MAX:
        raise UntrustedResultError(f"a file name must not be longer than {NAME_MAX} bytes", name[:NAME_MAX])
    if name.startswith(TEMPORARY_PREFIX):
        raise UntrustedResultError("a file name must not be one of our own temporary names", name)
    return encoded


def entry_text(name: bytes) -> str:
    """Return a name read from a hostile directory as text.

    :raises UntrustedResultError: where it is not UTF-8, or :func:`entry_name` refuses it
    """
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise UntrustedResultError("a file name must be UTF-8", repr(name)) from None
    entry_name(text)
    return text


def entry_names(directory_fd: int, *, limit: int) -> list[bytes]:
    """Return the names in a directory, sorted, whatever bytes they are made of.

    :param limit: the most entries to accept; reading stops there, so a flood of names costs nothing
    :raises UntrustedResultError: where there are more, or the directory cannot be read
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

    :param limit: the most bytes that it may have
    :raises UntrustedResultError: where it is anything else, is longer, or cannot be opened
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

    :raises UntrustedResultError: where it is not a directory, or cannot be opened
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
        raise UntrustedResultError("only a regular file is accepted", text)
    # A second link may be a file of the caller's: what is exported would not be what the hook made.
    if status.st_nlink != 1:
        raise UntrustedResultError(f"a file must have one link, not {status.st_nlink}", text)
    if status.st_mode & _SPECIAL_BITS:
        raise UntrustedResultError("a file must not have setuid, setgid or sticky bits", text)
    if status.st_size > limit:
        raise UntrustedResultError(f"a file of {status.st_size} bytes is larger than the limit of {limit} bytes", text)
    return status.st_size


def _for_message(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _unreadable(text: str, error: OSError) -> UntrustedResultError:
    return UntrustedResultError(f"it cannot be opened and read as what it must be ({error.strerror})", text)
