"""Messages from pid 1 to the launcher: marshalled tuples, each preceded by its length."""

from __future__ import annotations

import marshal
import os

if False:
    from typing import Any


def send(fd: int, *message: Any) -> None:
    """Write one message. There is only one writer, and the reader waits for the whole message."""
    data = marshal.dumps(message)
    os.write(fd, len(data).to_bytes(4, "little") + data)


def receive(fd: int) -> tuple[Any, ...] | None:
    """Read one message, or return ``None`` if the other end is closed."""
    size = os.read(fd, 4)
    if len(size) < 4:
        return None
    length = int.from_bytes(size, "little")
    data = b""
    while len(data) < length:
        data += os.read(fd, length - len(data))
    message: tuple[Any, ...] = marshal.loads(data)
    return message
