"""Messages from pid 1 to the launcher: marshalled tuples, each behind its length."""

from __future__ import annotations

import marshal
import os

if False:
    from typing import Any


def send(fd: int, *message: Any) -> None:
    """Write one message. There is one writer, and the reader waits for the whole."""
    data = marshal.dumps(message)
    os.write(fd, len(data).to_bytes(4, "little") + data)


def receive(fd: int) -> tuple[Any, ...] | None:
    """Read one message, or return ``None`` when the other end is closed."""
    size = os.read(fd, 4)
    if len(size) < 4:
        return None
    left = int.from_bytes(size, "little")
    data = b""
    while len(data) < left:
        data += os.read(fd, left - len(data))
    message: tuple[Any, ...] = marshal.loads(data)
    return message
