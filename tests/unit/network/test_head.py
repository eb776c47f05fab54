"""The head of a request to the proxy: what it asks for, and what is no request."""

from __future__ import annotations

import socket

import pytest

from isolated_hooks.network.serving import head
from isolated_hooks.network.serving.head import Head, MalformedError, read_head


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"CONNECT Example.org:443 HTTP/1.1", ("example.org", 443, True)),
        (b"CONNECT [2001:DB8:0::7]:443 HTTP/1.0", ("2001:db8::7", 443, True)),
        (b"GET http://example.org HTTP/1.1", ("example.org", 80, False)),
        (b"GET http://example.org:8080/a?b HTTP/1.1", ("example.org", 8080, False)),
        (b"GET HTTP://example.org?b HTTP/1.1", ("example.org", 80, False)),
    ],
)
def test_what_a_request_asks_for(line: bytes, found: tuple[str, int, bool]) -> None:
    request = Head(line, b"")
    assert (request.name, request.port, request.tunnel) == found


@pytest.mark.parametrize(
    "lines",
    [
        b"GET / HTTP/1.1\r\nHost: example.org",
        b"CONNECT example.org HTTP/1.1",
        b"CONNECT http://example.org:443 HTTP/1.1",
        b"CONNECT user@example.org:443 HTTP/1.1",
        b"GET http://user@example.org/ HTTP/1.1",
        b"GET http://example.org@other.example/ HTTP/1.1",
        b"GET http://example.org\\@other.example/ HTTP/1.1",
        b"GET https://example.org/ HTTP/1.1",
        b"GET http://example.org%00.other.example/ HTTP/1.1",
        b"GET http://example.org\x00.other.example/ HTTP/1.1",
        b"GET http://example.org/\tx HTTP/1.1",
        b"GET  http://example.org/ HTTP/1.1",
        b"GET http://example.org/ HTTP/2",
        b"GET http://example.org/ HTTP/1.1\nHost: other.example",
        b"GET http://example.org/ HTTP/1.1\r\n folded: x",
        b"GET http://example.org/ HTTP/1.1\r\nName : x",
        b"GET http://example.org/ HTTP/1.1\r\nName: a\rHost: other.example",
        b"GET http://example.org/ HTTP/1.1\r\nno colon",
        b"CONNECT [::g]:443 HTTP/1.1",
        b"CONNECT [1.2.3.4]:443 HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"",
        b"GET http://example.org/ HTTP/1.1" + b"\r\nA: b" * 101,
    ],
)
def test_what_is_no_request(lines: bytes) -> None:
    with pytest.raises(MalformedError):
        Head(lines, b"")


def test_the_server_gets_a_head_of_ours() -> None:
    lines = (
        b"GET http://Example.org:8080/a?b HTTP/1.1\r\nHost: other.example\r\nProxy-Authorization: Basic eA==\r\n"
        b"Connection: keep-alive, X-Hop, Content-Length\r\nX-Hop: 1\r\nContent-Length: 3\r\nAuthorization: kept"
    )
    sent = Head(lines, b"").for_server()
    assert sent == (
        b"GET /a?b HTTP/1.1\r\nHost: example.org:8080\r\nContent-Length: 3\r\nAuthorization: kept\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert (
        Head(lines, b"")
        .for_server(proxy_headers=b"Proxy-Authorization: ours\r\n")
        .endswith(b"Connection: close\r\nProxy-Authorization: ours\r\n\r\n")
    )


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("Example.org:0120", "example.org:120"),
        ("[2001:DB8:0::7]:0080", "[2001:db8::7]:80"),
        ("example.org", "example.org"),
    ],
)
def test_another_proxy_gets_the_place_that_we_have_understood(written: str, place: str) -> None:
    """A reader that takes 0120 for a number to the base of eight would go to port 80."""
    sent = Head(f"GET http://{written}/ HTTP/1.1\r\nMax-Forwards: 0".encode(), b"").for_server(proxy_headers=b"")
    assert sent == f"GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(("data", "reason"), [(b"G" * 20000, "longer than"), (b"GET http://", "did not come within")])
def test_a_head_is_bounded(data: bytes, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_SECONDS", 0.2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        with pytest.raises(MalformedError, match=reason):
            read_head(ours)
