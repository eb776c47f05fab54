"""The sockets outside the sandbox that a hook may try to reach, one of each kind."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

__all__ = ["Listeners"]


class Listeners:
    """A context manager with sockets that listen. A hook that sends the token to a socket has reached it.

    :param token: the text that the hook sends
    :param name: a unique part for the abstract name
    :param base: a directory for sockets with a path
    :param home: another directory for sockets with a path
    :param shared: the path of a socket in a directory that all users share
    """

    def __init__(self, token: str, *, name: str, base: Path, home: Path, shared: Path) -> None:
        self.token = token
        self._stack = contextlib.ExitStack()
        self._sockets: dict[str, socket.socket] = {}
        self._addresses: dict[str, tuple[int, int, Any]] = {
            "tcp": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "tcp6": (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0isolated-hooks-test-{name}"),
            "path": (socket.AF_UNIX, socket.SOCK_STREAM, str(home / "agent.sock")),
            "accomplice": (socket.AF_UNIX, socket.SOCK_STREAM, str(home / "accomplice.sock")),
            "datagram": (socket.AF_UNIX, socket.SOCK_DGRAM, str(base / "log.sock")),
            "shared": (socket.AF_UNIX, socket.SOCK_STREAM, str(shared)),
        }

    def __enter__(self) -> Listeners:
        with contextlib.ExitStack() as stack:
            self._stack = stack
            for name, (family, kind, address) in self._addresses.items():
                self._listen(name, family, kind, address)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _listen(self, name: str, family: int, kind: int, address: Any) -> None:
        try:
            sock = self._stack.enter_context(socket.socket(family, kind))
            sock.bind(address)
        except OSError:
            if name not in ("tcp6", "shared"):
                raise
            return  # a host without IPv6, or with a /tmp that this user cannot write to
        if isinstance(address, str) and address.startswith("/"):
            os.chmod(address, 0o777)
        if kind == socket.SOCK_STREAM:
            sock.listen()
        sock.setblocking(False)
        self._sockets[name] = sock

    def address_of(self, name: str) -> Any:
        """Return a listener's address in a form that JSON can hold; an abstract name begins with ``@``."""
        if name not in self._sockets:
            return ["::1", 9] if name == "tcp6" else "/nonexistent"
        address = self._sockets[name].getsockname()
        return "@" + address[1:].decode() if isinstance(address, bytes) else address

    def reached(self, name: str) -> bool:
        """Return whether the token arrived at a listener. By now the kernel's buffers hold everything that was sent."""
        sock = self._sockets.get(name)
        if sock is None:
            return False
        try:
            if sock.type == socket.SOCK_STREAM:
                sock, _ = sock.accept()
            with contextlib.closing(sock):
                return self.token in sock.recv(1024).decode()
        except BlockingIOError:
            return False

    def was_handed_a_file(self) -> bool:
        """Return whether an open file arrived at the accomplice."""
        try:
            connection, _ = self._sockets["accomplice"].accept()
            with connection:
                connection.setblocking(False)
                _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        except BlockingIOError:
            return False
        for descriptor in descriptors:
            os.close(descriptor)
        return bool(descriptors)
