"""Copies between two connections, in both directions, until both have ended."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from .withheld import ShownError

__all__ = ["relay"]

_BLOCK = 65536
# Seconds in which neither end sends anything. A server that computes an answer for longer is none for a build.
_SILENCE = 600.0


class _Way:
    """One direction.

    :ivar data: what we have read and not yet written
    :ivar ended: the source has ended, and so has the destination once ``data`` is written
    """

    def __init__(
        self,
        source: socket.socket,
        to: socket.socket,
        count: Callable[[int], None],
        *,
        most: int | None = None,
        passed: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.source, self.to, self.count, self.left, self.passed = source, to, count, most, passed
        self.data = b""
        self.ended = False
        self.closed = False

    def read(self) -> None:
        try:
            data = self.source.recv(_BLOCK)
        except BlockingIOError:
            return
        self.ended = not data
        self.data = self.passed(data[: self.left])
        if self.left is not None:
            self.left -= len(self.data)

    def write(self) -> None:
        try:
            sent = self.to.send(self.data)
        except BlockingIOError:
            return
        self.count(sent)
        self.data = self.data[sent:]

    def close(self) -> None:
        if self.ended and not self.data and not self.closed:
            self.closed = True
            self.to.shutdown(socket.SHUT_WR)


def relay(
    client: socket.socket,
    server: socket.socket,
    sent: Callable[[int], None],
    received: Callable[[int], None],
    most: int | None = None,
    passed: Callable[[bytes], bytes] = bytes,
) -> None:
    """Copy until both ends have ended, one has failed, or neither has said anything for ten minutes.

    :param sent: gets the number of bytes of each piece that goes to the server
    :param received: gets the same for those that come from it
    :param most: how many bytes go to the server at most; we take in and drop what the client sends after them
    :param passed: returns what goes to the client of each piece from the server; a ``ShownError`` ends the copy
    :raises ShownError: ``passed`` has raised it
    """
    ways = (_Way(client, server, sent, most=most), _Way(server, client, received, passed=passed))
    for one in (client, server):
        one.setblocking(False)
    try:
        while not all(way.closed for way in ways):
            # poll(2) always reports an end that is gone, so we ask only for what we wait for.
            interests: dict[int, int] = {}
            for way in ways:
                if way.data:
                    interests[way.to.fileno()] = interests.get(way.to.fileno(), 0) | select.POLLOUT
                elif not way.ended:
                    interests[way.source.fileno()] = interests.get(way.source.fileno(), 0) | select.POLLIN
            poll = select.poll()
            for fd, events in interests.items():
                poll.register(fd, events)
            ready = dict(poll.poll(_SILENCE * 1000))
            if not ready:
                return
            for way in ways:
                if way.data and way.to.fileno() in ready:
                    way.write()
                elif not way.data and not way.ended and way.source.fileno() in ready:
                    way.read()
                way.close()
    except ShownError:
        raise
    except OSError:
        return  # one of them is gone
