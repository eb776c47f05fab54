"""The proxy's main loop, and the way of one connection.

The process waits for its frontend, for the launcher, for connections of the hook, and for the end of those. Each
connection has a thread, and there are only so many of them: further ones wait in the backlog of the listener.
"""

from __future__ import annotations

import marshal
import os
import select
import socket
import threading
import time
from collections.abc import Callable

from . import addresses, authorized, head, upstream
from .addresses import RefusedError, Resolver, Target
from .ledger import Entry, Ledger
from .relay import relay
from .withheld import ShownError, Withheld

__all__ = ["main"]

_MOST_CONNECTIONS = 64
_LOOK_AHEAD = 3.0
# Seconds that the last bytes of a hook that has ended have to go out.
_GRACE = 0.2
_STACK = 256 * 1024
_UNNAMED = "the policy does not name it"
_REASONS = {200: b"Connection established", 400: b"Bad Request", 403: b"Forbidden", 502: b"Bad Gateway"}


# What to send first to the server and to the client, and the most that the client may send after that.
_Pieces = tuple[bytes, bytes, int | None]


def main() -> None:
    """Serve one hook. The order comes on stdin, which stays open as long as the frontend lives."""
    order = marshal.loads(_read(int.from_bytes(_read(4), "little")))
    targets = [Target(host) for host in order["hosts"]]
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(order["door"])  # in the current directory: the address has no room for every path, unix(7)
    door.listen(1)
    problems = upstream.unreachable(targets)
    resolver = Resolver()
    refused = {} if problems else resolver.look_ahead((t for t in targets if not t.proxies), _LOOK_AHEAD)
    server = Server(targets, resolver)
    _say({"ready": not problems and not refused, "proxies": problems, "refused": refused})
    server.serve(door, order["door"])


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(0, size - len(data))
        if not more:
            os._exit(1)
        data += more
    return data


def _say(document: dict[str, object]) -> None:
    # marshal, because importing json costs each hook some milliseconds. Both ends use the same interpreter.
    data = marshal.dumps(document)
    data = len(data).to_bytes(4, "little") + data
    while data:
        data = data[os.write(1, data) :]


class Server:
    """The service for one hook."""

    def __init__(self, targets: list[Target], resolver: Resolver) -> None:
        self.targets = {(target.name, target.port): target for target in targets}
        self.resolver = resolver
        self.ledger = Ledger()
        self._trust = authorized.context() if any(t.authorization and not t.plain for t in targets) else None
        self.running = 0
        self._lock = threading.Lock()
        self._wake, self._ended = os.pipe()
        os.set_blocking(self._ended, False)
        threading.stack_size(_STACK)

    def serve(self, door: socket.socket, name: str) -> None:
        """Serve until the launcher or the frontend has ended. Then say what there was, and end this process."""
        channel: socket.socket | None = None
        listener: socket.socket | None = None
        while True:
            poll = select.poll()
            poll.register(0, 0)  # only POLLHUP, which poll(2) always reports
            poll.register(self._wake, select.POLLIN)
            poll.register(door if channel is None else channel, select.POLLIN)
            if listener is not None and self.running < _MOST_CONNECTIONS:
                poll.register(listener, select.POLLIN)
            ready = dict(poll.poll())
            if 0 in ready:
                break
            if self._wake in ready:
                os.read(self._wake, 4096)
            if channel is None:
                if door.fileno() in ready:
                    channel, _ = door.accept()
                    door.close()
                    os.unlink(name)
                    os.chdir("/")
            elif channel.fileno() in ready:
                inner = _listener(channel)
                if inner is None:
                    break  # the launcher has ended, and the hook before it
                listener = inner
            if listener is not None and listener.fileno() in ready:
                self._accept(listener)
        self._end()

    def _end(self) -> None:
        end = time.monotonic() + _GRACE
        while self.running and time.monotonic() < end:
            time.sleep(0.005)
        try:
            _say({"connections": self.ledger.to_list()})
        finally:
            os._exit(0)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # it has gone already, or there is no descriptor left
        with self._lock:
            self.running += 1
        try:
            threading.Thread(target=self._run, args=(client,), daemon=True).start()
        except RuntimeError:  # no thread is left
            client.close()
            self._release()

    def _run(self, client: socket.socket) -> None:
        try:
            with client:
                self._answer(client)
        except OSError:
            pass  # the client has gone
        finally:
            self._release()

    def _release(self) -> None:
        with self._lock:
            self.running -= 1
        try:
            os.write(self._ended, b"x")
        except BlockingIOError:
            pass  # the loop has enough to wake up for

    def _answer(self, client: socket.socket) -> None:
        try:
            request = head.read_head(client)
        except head.MalformedError as problem:
            self.ledger.entry("", 0, str(problem))
            _refuse(client, 400, str(problem))
            return
        target = self.targets.get((request.name, request.port))
        if target is None:
            self.ledger.entry(request.name, request.port, _UNNAMED)
            place = f"[{request.name}]" if ":" in request.name else request.name
            place += f":{request.port}"
            _refuse(client, 403, f"{place}: {_UNNAMED}; to allow it, add --network {place}")
            return
        if target.authorization and not request.tunnel:
            self._read_for(client, request, target)
            return
        try:
            server, pieces = self._open(request, target)
        except RefusedError as problem:
            self.ledger.entry(target.name, target.port, str(problem))
            _refuse(client, 502, f"{target.name}:{target.port}: {problem}")
            return
        with server:
            entry = self.ledger.entry(target.name, target.port)
            passed = Withheld("" if request.tunnel else upstream.credential(target)).pass_on
            try:
                self._pass(client, server, pieces, entry, passed)
            except ShownError:
                self.ledger.entry(target.name, target.port, "the operator's proxy shows its own credential")

    def _read_for(self, client: socket.socket, request: head.Head, target: Target) -> None:
        """Read something from a host with the credential that the operator has given for it."""
        try:
            asked = authorized.request_of(request, target)
            with authorized.secured(target, self._trust, lambda: self._connect(target)) as server:
                first, rest = authorized.answer_of(server, target, asked)
                entry = self.ledger.entry(target.name, target.port, authorized.problem_of(first))
                entry.add(sent=len(asked))
                client.settimeout(60)
                for piece in (first, rest):
                    client.sendall(piece)
                    entry.add(received=len(piece))
                server.settimeout(authorized.SILENCE)
                while piece := server.recv(65536):
                    client.sendall(piece)
                    entry.add(received=len(piece))
        except RefusedError as problem:
            self.ledger.entry(target.name, target.port, str(problem))
            _refuse(client, 502, f"{target.name}:{target.port}: {problem}")
            return
        _finish(client)

    def _connect(self, target: Target) -> socket.socket:
        return addresses.connect(self.resolver.addresses(target), target.port)

    def _open(self, request: head.Head, target: Target) -> tuple[socket.socket, _Pieces]:
        """Connect. Return the connection and what passes through it."""
        proxy = target.proxies.get("connect" if request.tunnel else "plain")
        if proxy is not None and request.tunnel:
            server, rest = upstream.tunnel(proxy, target)
            return server, (request.rest, _established() + rest, None)
        if proxy is not None:
            if request.method not in head.METHODS:
                # A proxy may answer TRACE, and what is like it, with what it got of us.
                raise RefusedError("the operator's proxy gets no request with this method")
            try:
                most = request.body()
            except head.MalformedError as problem:
                raise RefusedError(str(problem)) from problem
            first, rest = request.for_server(proxy_headers=upstream.headers(proxy)), request.rest[:most]
            return upstream.reach(proxy), (first + rest, b"", most - len(rest))
        server = self._connect(target)
        if request.tunnel:
            return server, (request.rest, _established(), None)
        return server, (request.for_server() + request.rest, b"", None)

    def _pass(
        self,
        client: socket.socket,
        server: socket.socket,
        pieces: _Pieces,
        entry: Entry,
        passed: Callable[[bytes], bytes],
    ) -> None:
        first, answer, most = pieces
        client.settimeout(60)
        server.settimeout(60)
        client.sendall(answer)
        server.sendall(first)
        entry.add(sent=len(first))
        sent, received = (lambda size: entry.add(sent=size)), (lambda size: entry.add(received=size))
        relay(client, server, sent, received, most, passed)


def _listener(channel: socket.socket) -> socket.socket | None:
    """Return the listener that pid 1 of the sandbox sends, or ``None`` if the other ends of the channel are closed."""
    try:
        data, fds, _, _ = socket.recv_fds(channel, 16, 1)
    except OSError:
        return None
    if not data or not fds:
        return None
    listener = socket.socket(fileno=fds[0])
    listener.setblocking(False)  # a client may have gone between poll(2) and accept(2)
    return listener


def _established() -> bytes:
    return b"HTTP/1.1 200 %b\r\n\r\n" % _REASONS[200]


def _refuse(client: socket.socket, code: int, text: str) -> None:
    body = f"isolated-hooks: {text}\n".encode("ascii", "replace")
    lines = (
        b"HTTP/1.1 %d %b" % (code, _REASONS[code]),
        b"Content-Type: text/plain",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
        b"",
        body,
    )
    client.settimeout(5)
    client.sendall(b"\r\n".join(lines))
    _finish(client)


def _finish(client: socket.socket) -> None:
    client.settimeout(5)
    client.shutdown(socket.SHUT_WR)
    # Take in what the client still sends: the kernel would answer that with a reset, and the client lose our words.
    end = time.monotonic() + 1
    while time.monotonic() < end and client.recv(65536):
        pass
