"""What pid 1 has seen a failing hook try: connections that failed, and temporary space that is full at the end.

The broker hears of every connect(2) anyway. It notes the address and the port, never what was sent. The launcher gets
one bounded message, and only if the hook failed.
"""

from __future__ import annotations

import os
from errno import EALREADY, EINPROGRESS, EINTR, EISCONN

from . import pipes

if False:
    from collections.abc import Iterable

    from .operations import Operation

#: The stage that fails where an observer, observing.py, cannot listen to any system call.
OBSERVING = "observing system calls"
#: The most destinations that we note. The later ones are left out.
MOST = 16
#: Less than this share of a filesystem free, and it counts as full.
_FULL_SHARE = 50
_AF_INET, _AF_INET6 = 2, 10
#: The port of a name server. The answer of connect(2) says nothing about it: an address of UDP needs no listener.
DNS = 53
_NOT_FAILED = (0, EISCONN, EINPROGRESS, EALREADY, EINTR)


class Attempts:
    """The destinations of one hook, as ``(family, address, port, errno)`` with raw bytes for the address.

    :param most: the most destinations
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.found: dict[tuple[int, bytes, int], int] = {}

    def note(self, address: bytes, error: int) -> None:
        """Note a connection that failed, or one to a name server. Any bytes will do."""
        if len(self.found) >= self.most:
            return
        destination = destination_of(address)
        if destination is not None and (error not in _NOT_FAILED or destination[2] == DNS):
            self.found.setdefault(destination, error)

    def rows(self) -> list[tuple[int, bytes, int, int]]:
        """Return what was noted, in order."""
        return [(*key, error) for key, error in self.found.items()]


def destination_of(address: bytes) -> tuple[int, bytes, int] | None:
    """Return family, address and port of the address of a socket, or ``None`` if it is none of the internet."""
    family = int.from_bytes(address[:2], "little")
    size = {_AF_INET: 4, _AF_INET6: 16}.get(family)
    start = 8 if family == _AF_INET6 else 4  # sin6_flowinfo is before the address, ipv6(7)
    if size is None or len(address) < start + size:
        return None
    return family, address[start : start + size], int.from_bytes(address[2:4], "big")


def tell(
    report: int, code: int, attempts: Attempts | None, operations: Iterable[Operation], names: Iterable[bytes] = ()
) -> None:
    """Send what a hook that failed has tried, if there is anything.

    :param names: the names that it looked up
    :param operations: those of the root filesystem; all temporary directories of one operation share their space
    """
    if not code:
        return
    rows = attempts.rows() if attempts is not None else []
    shared = [os.fsencode(path) for o in operations for path, _ in getattr(o, "targets", ())[:1]]
    full = [row for path in shared if (row := _full(path)) is not None]
    names = list(names)
    if rows or full or names:
        pipes.send(report, "tried", rows, full, names)


def _full(path: bytes) -> tuple[bytes, int] | None:
    """Return a directory and the size of its filesystem in bytes, if that is full, statvfs(3)."""
    try:
        status = os.statvfs(path)
    except OSError:
        return None
    if not status.f_blocks or status.f_bavail * _FULL_SHARE >= status.f_blocks:
        return None
    return path, status.f_blocks * status.f_frsize
