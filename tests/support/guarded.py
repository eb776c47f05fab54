"""A server on this machine's loopback that wants a user name and a password, with TLS or without."""

from __future__ import annotations

import base64
import contextlib
import http.server
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import trustme

from support.webserver import in_thread

__all__ = ["HEADER", "PASSWORD", "USER", "Guarded", "Page", "guarded", "write_netrc"]

USER, PASSWORD = "builder", "the-word-of-the-operator"
HEADER = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"

#: The answer to a path: a status, header fields and a body.
Page = tuple[int, Mapping[str, str], bytes]


class Guarded:
    """What a server has seen, and what it answers.

    :ivar port: its port on 127.0.0.1
    :ivar heads: the request line and the headers of each request, as text
    :ivar pages: answers by path, for those who know the password; others, and other paths, get 401 and 404
    :ivar authority: the file with the certificate of the authority
    :ivar tls: whether it speaks TLS
    """

    def __init__(self, port: int, authority: Path, *, tls: bool) -> None:
        self.port, self.authority, self.tls = port, authority, tls
        self.heads: list[str] = []
        self.pages: dict[str, Page] = {}

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def page(self, path: str, given: str | None) -> Page:
        if given != HEADER:
            return 401, {"WWW-Authenticate": 'Basic realm="index"'}, b"no"
        return self.pages.get(path, (404, {}, b"none"))


@contextlib.contextmanager
def guarded(directory: Path, *, tls: bool = True, name: str = "127.0.0.1") -> Iterator[Guarded]:
    """Serve pages to those who know the password.

    :param directory: for the certificate of the authority
    :param name: the name that the server's certificate is for
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.heads.append(f"{self.requestline}\n{self.headers}")
            status, fields, body = served.page(self.path, self.headers.get("Authorization"))
            self.send_response(status)
            for field, value in {"Content-Length": str(len(body)), **fields}.items():
                self.send_header(field, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # clients that do not trust it, and those that go early

    directory.mkdir(exist_ok=True)
    authority = trustme.CA()
    with Server(("127.0.0.1", 0), Handler) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        served = Guarded(server.server_address[1], directory / "authority.pem", tls=tls)
        authority.cert_pem.write_to_path(served.authority)
        with in_thread(server):
            yield served


def write_netrc(path: Path, machine: str = "127.0.0.1", user: str = USER, password: str = PASSWORD) -> Path:
    """Write a file of netrc with one entry."""
    path.write_text(f"machine {machine}\n  login {user}\n  password {password}\n")
    path.chmod(0o600)
    return path
