"""Messages from pid 1 to the launcher: marshalled tuples, each preceded by its length."""

from __future__ import annotations

import marshal
import os

if False:
    from collections.abc import Iterator
    from typing import Any


def send(fd: int, *message: Any) -> None:
    """Write one message. There is only one writer, and the reader waits for the whole message."""
    data = marshal.dumps(message)
    os.write(fd, len(data).to_bytes(4, "little") + data)


class Inbox:
    """The reading end, which never waits.

    :param fd: the descriptor to read from
    :ivar ended: no further message can come
    """

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._data = b""
        self.ended = False

    def receive(self) -> Iterator[tuple[Any, ...]]:
        """Yield the messages that have arrived as a whole since the last call."""
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        self.ended = not data
        self._data += data
        while len(self._data) >= 4:
            end = 4 + int.from_bytes(self._data[:4], "little")
            if len(self._data) < end:
                return
            message: tuple[Any, ...] = marshal.loads(self._data[4:end])
            self._data = self._data[end:]
            yield message
