"""A server of HTTP on this machine's loopback, and a command that runs code in a sandbox with a list of hosts."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from isolated_hooks import HookReport, Policy
from isolated_hooks.run.command import run_command

__all__ = ["Served", "free_port", "in_sandbox", "in_thread", "serving"]


class Served:
    """What a server has seen.

    :ivar port: its port on 127.0.0.1
    :ivar heads: the request line and the headers of each request, as text
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.heads: list[str] = []

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def in_thread(server: socketserver.BaseServer) -> Iterator[None]:
    """Let a server answer within the context."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def serving(body: bytes = b"served") -> Iterator[Served]:
    """Serve ``body`` for every GET and POST."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.heads.append(f"{self.requestline}\n{self.headers}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Served(server.server_address[1])
        with in_thread(server):
            yield served


_HELPERS = """
import json, os, socket, sys, time, urllib.request
def get(url):
    try:
        return urllib.request.urlopen(url, timeout=30).read().decode()
    except OSError as error:
        return getattr(error, "code", None) or str(getattr(error, "reason", error))
def ask(data, proxy=("127.0.0.1", 61080)):
    with socket.create_connection(proxy, timeout=30) as one:
        one.sendall(data)
        answer = b""
        try:
            while more := one.recv(65536):
                answer += more
        except OSError:
            pass
        return answer.decode("latin-1")
def attempt(do, *arguments):
    try:
        return repr(do(*arguments))
    except OSError as error:
        return type(error).__name__
"""


def in_sandbox(
    code: str, directory: Path, *hosts: str, start: Callable[[list[str]], None] | None = None, **policy: Any
) -> tuple[str, HookReport]:
    """Run code in a sandbox that reaches some hosts. Return what it printed, and the report."""
    printed: list[str] = []

    def run(command: list[str]) -> None:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        printed.append(done.stdout + done.stderr)

    argv = [sys.executable, "-c", _HELPERS + code]
    policy = {"network": hosts or False, **policy}
    report = run_command(argv, str(directory), Policy(**policy), start or run, stdin="null", python=sys.executable)
    return "".join(printed), report


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
