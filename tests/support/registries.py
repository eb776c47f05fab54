"""Registries with one package each, for npm, uv, cargo, Go and Maven, and an operator's proxy behind which they are.

The registries have names that nobody resolves: the proxy leads each name to the pages here. Programs treat names and
addresses of the loopback interface in ways of their own, and Go never asks a proxy for them.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import io
import json
import ssl
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme

from support.index import write_wheel
from support.webserver import in_thread

__all__ = ["HOST", "TOOLS", "Switchboard", "Tool", "switchboard"]

HOST = "registry.example.org"
_POM = '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>{}</project>'
_PARENT = "<groupId>org.example</groupId><artifactId>bricks</artifactId><version>1</version>"

Pages = dict[str, bytes]


@dataclasses.dataclass(frozen=True)
class Tool:
    """A program that gets a package from a registry.

    :ivar argv: the command; ``{base}`` stands for the URL of the registry
    :ivar pages: returns the pages of the registry, by path
    :ivar files: files of the project, by name
    :ivar variables: variables of the command
    :ivar trust: the variable that names the certificate of the registry's authority
    :ivar last: the path of what it gets last
    """

    argv: tuple[str, ...]
    pages: Callable[[str], Pages]
    last: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trust: str = "SSL_CERT_FILE"


def _tar(files: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def _npm(base: str) -> Pages:
    package = {"name": "bricks", "version": "1.0.0"}
    archive = _tar({"package/package.json": json.dumps(package).encode()})
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    dist = {"tarball": f"{base}/bricks/-/bricks-1.0.0.tgz", "integrity": f"sha512-{digest}"}
    document = {"name": "bricks", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {**package, "dist": dist}}}
    return {"/bricks": json.dumps(document).encode(), "/bricks/-/bricks-1.0.0.tgz": archive}


def _python(base: str) -> Pages:
    with tempfile.TemporaryDirectory() as directory:
        wheel = write_wheel(Path(directory), "bricks")
        content = wheel.read_bytes()
    page = f'<!DOCTYPE html><a href="../../files/{wheel.name}">{wheel.name}</a>'
    return {"/simple/bricks/": page.encode(), f"/files/{wheel.name}": content}


def _cargo(base: str) -> Pages:
    manifest = b'[package]\nname = "bricks"\nversion = "1.0.0"\nedition = "2021"\n'
    crate = _tar({"bricks-1.0.0/Cargo.toml": manifest, "bricks-1.0.0/src/lib.rs": b""})
    entry = {"name": "bricks", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False}
    return {
        "/config.json": json.dumps({"dl": f"{base}/files/{{crate}}-{{version}}.crate"}).encode(),
        "/br/ic/bricks": json.dumps({**entry, "cksum": hashlib.sha256(crate).hexdigest()}).encode(),
        "/files/bricks-1.0.0.crate": crate,
    }


def _go(base: str) -> Pages:
    module, version = b"module example.org/bricks\n\ngo 1.19\n", "/example.org/bricks/@v/v1.0.0"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("example.org/bricks@v1.0.0/go.mod", module)
        archive.writestr("example.org/bricks@v1.0.0/bricks.go", "package bricks\n")
    info = json.dumps({"Version": "v1.0.0"}).encode()
    return {f"{version}.info": info, f"{version}.mod": module, f"{version}.zip": data.getvalue()}


def _maven(base: str) -> Pages:
    return {"/org/example/bricks/1/bricks-1.pom": _POM.format(f"{_PARENT}<packaging>pom</packaging>").encode()}


#: By the name of the program.
TOOLS = {
    "npm": Tool(
        ("npm", "install", "--no-audit", "--no-fund", "--registry", "{base}", "bricks"),
        _npm,
        "/bricks/-/bricks-1.0.0.tgz",
        trust="NODE_EXTRA_CA_CERTS",
    ),
    "uv": Tool(
        ("uv", "pip", "install", "--no-config", "--no-cache", "--target", "out", "bricks"),
        _python,
        "/files/bricks-1.0-py3-none-any.whl",
        variables={"UV_DEFAULT_INDEX": "{base}/simple"},
    ),
    "cargo": Tool(
        ("cargo", "fetch"),
        _cargo,
        "/files/bricks-1.0.0.crate",
        {
            "Cargo.toml": '[package]\nname = "demo"\nversion = "1.0.0"\nedition = "2021"\n'
            '[dependencies]\nbricks = { version = "1", registry = "ours" }\n',
            "src/lib.rs": "",
        },
        {"CARGO_REGISTRIES_OURS_INDEX": "sparse+{base}/"},
    ),
    "go": Tool(
        ("go", "mod", "download", "example.org/bricks@v1.0.0"),
        _go,
        "/example.org/bricks/@v/v1.0.0.zip",
        {"go.mod": "module demo\n\ngo 1.19\n"},
        {"GOPROXY": "{base}", "GONOSUMDB": "*", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"},
    ),
    "mvn": Tool(
        ("mvn", "--batch-mode", "--quiet", "validate"),
        _maven,
        "/org/example/bricks/1/bricks-1.pom",
        {
            "pom.xml": _POM.format(
                f"<parent>{_PARENT}<relativePath/></parent><artifactId>demo</artifactId><packaging>pom</packaging>"
                "<repositories><repository><id>ours</id><url>{base}</url></repository></repositories>"
            )
        },
    ),
}


class Switchboard:
    """An operator's proxy, and the registry behind it.

    :ivar port: its port on 127.0.0.1
    :ivar pages: the pages, by path
    :ivar seen: the paths that were asked for, with the scheme and the host
    :ivar heads: the request line and the headers of each request, as text
    :ivar authority: the file with the certificate of the authority
    """

    def __init__(self, port: int, authority: Path) -> None:
        self.port, self.authority = port, authority
        self.pages: Pages = {}
        self.seen: list[str] = []
        self.heads: list[str] = []


@contextlib.contextmanager
def switchboard(directory: Path) -> Iterator[Switchboard]:
    """Serve as a proxy for every name. The registry's certificate is for :data:`HOST`."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)

    class Handler(http.server.BaseHTTPRequestHandler):
        place = ""

        def do_CONNECT(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with contextlib.suppress(OSError):  # a client that does not trust it
                inner = context.wrap_socket(self.connection, server_side=True)
                type("Inner", (Handler,), {"place": f"https://{self.path}"})(inner, self.client_address, self.server)
            self.close_connection = True

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            served.seen.append(f"{self.place or self.path.removesuffix(path)}{path}")
            served.heads.append(f"{self.requestline}\n{self.headers}")
            body = served.pages.get(path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.send_header("Content-Type", "text/html" if path.startswith("/simple/") else "application/octet-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body or b"")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Switchboard(server.server_address[1], directory / "authority.pem")
        authority.cert_pem.write_to_path(served.authority)
        with in_thread(server):
            yield served
