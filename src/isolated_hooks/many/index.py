"""An index of the wheels of one run (PEP 503, PEP 691), on the loopback interface, as long as the run takes.

Each build has a directory of its own there, with a name that nobody can guess and the wheels that it may use. So what a
build gets does not depend on what else is ready. Everything else is not found.
"""

from __future__ import annotations

import hashlib
import html
import http.server
import json
import os
import secrets
import socket
import stat
import threading
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

from packaging.utils import canonicalize_name

from .forked import close_in_forks
from .outcomes import UsedWheel

__all__ = ["Index"]

_MOST_CONNECTIONS = 64
_SECONDS = 30
_BLOCK = 1 << 18
_JSON = "application/vnd.pypi.simple.v1+json"
_HTML = "text/html; charset=utf-8"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Index:
    """The index, as a context manager. It answers in threads of this process, so it ends with it."""

    def __init__(self) -> None:
        self._server: _Server | None = None
        self._lock = threading.Lock()

    def directory(self, wheels: Mapping[str, UsedWheel]) -> str:
        """Return the URL of a new directory with some wheels, with a slash at its end.

        :param wheels: the wheels by their paths
        :raises OSError: there can be no server on the loopback interface
        """
        with self._lock:
            if self._server is None:
                self._server = _Server(("127.0.0.1", 0), _Handler)
                threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
                close_in_forks(self)
        token = secrets.token_urlsafe(32)
        self._server.directories[_digest(token)] = MappingProxyType(dict(wheels))
        return f"http://127.0.0.1:{self._server.server_port}/{token}/"

    def forget(self, url: str) -> None:
        """Serve a directory no more."""
        if self._server is not None and url:
            self._server.directories.pop(_digest(url.rstrip("/").rpartition("/")[2]), None)

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close_copy(self) -> None:
        """Close the socket in a fork of this process, which would keep the port open."""
        if self._server is not None:
            self._server.socket.close()
            self._server = None


def _digest(token: str) -> bytes:
    # A comparison of digests says nothing about how much of a guess is right.
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


class _Server(http.server.ThreadingHTTPServer):
    """Answers each connection in a thread, and a bounded number of them: any user of the host may connect."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = _MOST_CONNECTIONS

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.directories: dict[bytes, Mapping[str, UsedWheel]] = {}
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def server_bind(self) -> None:
        """Bind without asking the resolver for our name."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def process_request(self, request: socket.socket | Any, client_address: Any) -> None:
        """Answer a connection, or close it if there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket.socket | Any, client_address: Any) -> None:
        """Answer a connection in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the other side has gone, or the file has."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS

    def version_string(self) -> str:
        return "isolated-hooks"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        _, token, kind, *names = [unquote(part) for part in path.split("/")] + ["", ""]
        wheels = self.server.directories.get(_digest(token))
        names = [name for name in names if name]
        if wheels is None or kind not in ("simple", "files") or len(names) > 1:
            self.send_error(HTTPStatus.NOT_FOUND)
        elif kind == "files":
            self._send_file({os.path.basename(path): path for path in wheels}.get("".join(names), ""), with_body)
        else:
            self._send_page(names, wheels, with_body)

    def _send_page(self, names: list[str], wheels: Mapping[str, UsedWheel], with_body: bool) -> None:
        as_json = _JSON in self.headers.get("Accept", "")
        if not names:
            projects = sorted({wheel.name for wheel in wheels.values()})
            page = _projects_json(projects) if as_json else _projects_html(projects)
        else:
            name = canonicalize_name(names[0])
            files = {os.path.basename(path): wheel for path, wheel in wheels.items() if wheel.name == name}
            if not files:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            page = _files_json(name, files) if as_json else _files_html(files.items())
        self._send_head(len(page), _JSON if as_json else _HTML)
        if with_body:
            self.wfile.write(page)

    def _send_file(self, path: str, with_body: bool) -> None:
        try:
            fd = os.open(path, _FLAGS)
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self._send_head(status.st_size, "application/octet-stream")
            left = status.st_size if with_body else 0
            while left and (block := file.read(min(left, _BLOCK))):
                self.wfile.write(block)
                left -= len(block)
            self.close_connection = self.close_connection or bool(left)

    def _send_head(self, size: int, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()


def _projects_json(projects: Iterable[str]) -> bytes:
    document = {"meta": {"api-version": "1.0"}, "projects": [{"name": name} for name in projects]}
    return json.dumps(document).encode()


def _files_json(name: str, files: Mapping[str, UsedWheel]) -> bytes:
    listed = [
        {"filename": file, "url": f"../../files/{quote(file)}", "hashes": {"sha256": wheel.sha256}}
        for file, wheel in files.items()
    ]
    return json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": listed}).encode()


def _projects_html(projects: Iterable[str]) -> bytes:
    return _html(f'<a href="{quote(name)}/">{html.escape(name)}</a><br>' for name in projects)


def _files_html(files: Iterable[tuple[str, UsedWheel]]) -> bytes:
    return _html(
        f'<a href="../../files/{quote(file)}#sha256={wheel.sha256}">{html.escape(file)}</a><br>'
        for file, wheel in files
    )


def _html(lines: Iterable[str]) -> bytes:
    head = (
        '<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.0"><title>wheels</title></head>'
    )
    return "\n".join([head, "<body>", *lines, "</body></html>\n"]).encode()
