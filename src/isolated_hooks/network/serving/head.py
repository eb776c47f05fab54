"""The head of a request to the proxy: reading it within bounds, and what it asks for.

A hook writes it, so every deviation from the grammar of HTTP is refused: two readers that read the same bytes otherwise
would be a way past the list of hosts. We pass on what we have understood, and not the bytes that we have read.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time

__all__ = ["METHODS", "Head", "MalformedError", "read_head", "read_until"]

_MOST_BYTES = 16384
_MOST_LINES = 100
_SECONDS = 15.0
# Methods are in upper case: another proxy may take "connect" for CONNECT.
_REQUEST = re.compile(rb"([A-Z-]{1,20}) ([!-~]{1,8192}) HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_AUTHORITY = r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?"
_CONNECT = re.compile(_AUTHORITY)
_ABSOLUTE = re.compile(rf"[Hh][Tt][Tt][Pp]://{_AUTHORITY}(/[!-~]*|\?[!-~]*)?")
_SIZE = re.compile(rb"[0-9]{1,18}")
# What a request with a credential of the operator's may say besides. Others choose the method anew, or the host, or who
# asks; cookies and an Authorization of the hook's would make it another's request.
_READING = frozenset(
    b"accept accept-encoding accept-language cache-control if-match if-modified-since if-none-match if-range "
    b"if-unmodified-since pragma range user-agent".split()
)
#: What the operator's own proxy gets, RFC 9110, 9.3, and RFC 5789.
METHODS = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS".split())
# Those of this connection, RFC 9110, 7.6.1; Host, which follows from the request line; and Max-Forwards, by which the
# operator's proxy would answer itself.
_OURS = frozenset(b"connection host keep-alive max-forwards proxy-authorization proxy-connection te upgrade".split())


class MalformedError(Exception):
    """A request that is none, or that comes too slowly. The text says what is wrong."""


class Head:
    """What a request asks for.

    :ivar tunnel: it is CONNECT
    :ivar method: its method
    :ivar name: the host, in lower case, or an address without brackets
    :ivar port: the port
    :ivar rest: what came after the head
    """

    def __init__(self, data: bytes, rest: bytes) -> None:
        lines = data.split(b"\r\n")
        request = _REQUEST.fullmatch(lines[0])
        if request is None or len(lines) > _MOST_LINES:
            raise MalformedError("this is no request to a proxy for HTTP")
        self.method, target = request[1], request[2].decode("ascii")
        self.rest = rest
        self.tunnel = self.method == b"CONNECT"
        match = (_CONNECT if self.tunnel else _ABSOLUTE).fullmatch(target)
        if match is None or (self.tunnel and match[2] is None):
            raise MalformedError("expected CONNECT HOST:PORT, or a URL that begins with http:// and has no user name")
        self.name, self.port = _name(match[1]), int(match[2] or 80)
        place = f"[{self.name}]" if ":" in self.name else self.name
        # Another reader may take 0120 for a number to the base of eight.
        self._authority = place if match[2] is None else f"{place}:{self.port}"
        path = "" if self.tunnel else match[3] or "/"
        self._path = path if path.startswith("/") else f"/{path}"
        self._headers = [_header(line) for line in lines[1:]]

    def body(self) -> int:
        """Return how many bytes follow the head. Another proxy would take what comes then for a request of ours.

        :raises MalformedError: two readers may find two sizes, RFC 9112, 6.3
        """
        sizes = [value for name, value in self._headers if name.lower() == b"content-length"]
        chunked = any(name.lower() == b"transfer-encoding" for name, _ in self._headers)
        if chunked or len(sizes) > 1 or not all(_SIZE.fullmatch(size) for size in sizes):
            raise MalformedError("such a request has one Content-Length at most, and is not chunked")
        return int(sizes[0]) if sizes else 0

    def with_credential(self, authority: str, authorization: str) -> bytes:
        """Return the head of the same request with a credential: its method, its path, and what it may say besides.

        :param authority: the host, as the policy writes it and not as the hook does
        :raises MalformedError: it has a body
        """
        if self.body():
            raise MalformedError("a request with a credential has no body")
        lines = [b"%b %b HTTP/1.1" % (self.method, self._path.encode("ascii")), b"Host: " + authority.encode("ascii")]
        lines += [name + b": " + value for name, value in self._headers if name.lower() in _READING]
        lines += [b"Authorization: " + authorization.encode("ascii"), b"Connection: close"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def for_server(self, *, proxy_headers: bytes | None = None) -> bytes:
        """Return the head of the same request, for the server itself or for another proxy.

        It asks for the end of the connection after the answer: what comes then would be another request.

        :param proxy_headers: for another proxy: the lines that it gets besides
        """
        authority, path = self._authority.encode("ascii"), self._path.encode("ascii")
        target = path if proxy_headers is None else b"http://" + authority + path
        lines = [b"%b %b HTTP/1.1" % (self.method, target), b"Host: " + authority]
        named = {word for name, value in self._headers if name.lower() == b"connection" for word in _words(value)}
        lines += [name + b": " + value for name, value in self._headers if name.lower() not in _OURS | named]
        return b"\r\n".join(lines) + b"\r\nConnection: close\r\n" + (proxy_headers or b"") + b"\r\n"


def _words(value: bytes) -> list[bytes]:
    words = [word.strip().lower() for word in value.split(b",")]
    # Without these, a server and we would disagree about where the request ends.
    return [word for word in words if word not in (b"content-length", b"transfer-encoding")]


def _name(text: str) -> str:
    if not text.startswith("["):
        return text.lower()
    try:
        return str(ipaddress.IPv6Address(text[1:-1]))
    except ValueError:
        raise MalformedError("brackets hold an address of IPv6") from None


def _header(line: bytes) -> tuple[bytes, bytes]:
    match = _HEADER.fullmatch(line)
    if match is None:
        raise MalformedError("a header is not valid")
    return match[1], match[2]


def read_head(one: socket.socket) -> Head:
    """Read the head of a request.

    :raises MalformedError: it is none, is too long, or does not come in time
    """
    return Head(*read_until(one, b"\r\n\r\n"))


def read_until(
    one: socket.socket, end: bytes, data: bytes = b"", *, seconds: float | None = None
) -> tuple[bytes, bytes]:
    """Read up to the first ``end``, for a bounded time and size. Return what is before it, and what has come after it.

    :param data: what has been read already
    :param seconds: the time, if it is not that for the head of a request
    :raises MalformedError: there is none
    """
    seconds = _SECONDS if seconds is None else seconds
    deadline = time.monotonic() + seconds
    while end not in data:
        left = deadline - time.monotonic()
        if len(data) > _MOST_BYTES:
            raise MalformedError(f"the head is longer than {_MOST_BYTES} bytes")
        if left <= 0:
            raise MalformedError(f"the head did not come within {seconds:.0f} seconds")
        one.settimeout(left)
        try:
            more = one.recv(_MOST_BYTES)
        except TimeoutError:
            continue
        except OSError:
            more = b""
        if not more:
            raise MalformedError("the connection ended within the head")
        data += more
    before, _, after = data.partition(end)
    return before, after
