"""How the broker gets its listener: the process that becomes the hook installs the filter, and pid 1 takes it over."""

from __future__ import annotations

import ctypes
import os

from . import listener, privileges, syscalls
from .broker import Broker


class Hiring:
    """One hand-over, between a fork and the start of the hook. The hook starts only after it."""

    def __init__(self) -> None:
        self._offers, self._offer = os.pipe()
        self._answers, self._answer = os.pipe()

    def offer(self) -> None:
        """Install the filter in the process that becomes the hook. Return when the broker has its listener.

        If pid 1 does not take it, this process ends.
        """
        try:
            number = privileges.listen()
        except syscalls.SyscallError:
            number = -1
        os.write(self._offer, number.to_bytes(4, "little", signed=True))
        os.close(self._answer)
        if not os.read(self._answers, 1):
            os._exit(1)

    def hire(self, pid: int, *, abstract: bool) -> Broker | None:
        """Return the broker for the process that offers its listener, or ``None`` if the host keeps us from it.

        :param abstract: as for :class:`Broker`
        """
        os.close(self._offer)
        os.close(self._answers)
        number = int.from_bytes(os.read(self._offers, 4) or b"\xff", "little", signed=True)
        os.close(self._offers)
        return _broker(pid, number, abstract=abstract) if number >= 0 else None

    def close(self, *, go: bool) -> None:
        """Let the hook start, or let its process end."""
        if go:
            os.write(self._answer, b"1")
        os.close(self._answer)


def _broker(pid: int, number: int, *, abstract: bool) -> Broker | None:
    # The child has a copy of our memory, so this address means the same there.
    known = ctypes.create_string_buffer(b"?")
    pidfd = os.pidfd_open(pid)
    try:
        listener.read_memory(pid, ctypes.addressof(known), 1)
        return Broker(listener.take(pidfd, number), abstract=abstract)
    except syscalls.SyscallError:
        return None
    finally:
        os.close(pidfd)
