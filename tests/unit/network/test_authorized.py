"""What a request with a credential says, and what of the answer a hook gets."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from isolated_hooks.network.serving import authorized
from isolated_hooks.network.serving.addresses import RefusedError, Target
from isolated_hooks.network.serving.head import Head


def target(name: str = "index.example.org", port: int = 443, *, plain: bool = False, **more: Any) -> Target:
    order = {"name": name, "port": port, "literal": ":" in name, "private": False, "proxies": {}, **more}
    return Target({**order, "authorization": "Basic c2VjcmV0", "plain": plain})


def test_the_head_is_ours_and_has_only_what_reading_needs() -> None:
    lines = (
        b"GET http://INDEX.example.org:443/a/b?c HTTP/1.1\r\nHost: other.example\r\nAuthorization: Basic eA==\r\n"
        b"Cookie: a=b\r\nX-HTTP-Method-Override: DELETE\r\nX-Forwarded-Host: other.example\r\nForwarded: host=x\r\n"
        b"Referer: http://x/\r\nOrigin: x\r\nExpect: 100-continue\r\nUpgrade: h2c\r\nTE: trailers\r\n"
        b"Connection: authorization, keep-alive\r\nContent-Length: 0\r\nAccept: text/html\r\nRange: bytes=0-1"
    )
    assert authorized.request_of(Head(lines, b"GET / HTTP/1.1\r\n\r\n"), target()) == (
        b"GET /a/b?c HTTP/1.1\r\nHost: index.example.org\r\nAccept: text/html\r\nRange: bytes=0-1\r\n"
        b"Authorization: Basic c2VjcmV0\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("one", "authority"),
    [
        (target(), "index.example.org"),
        (target(port=80), "index.example.org:80"),
        (target(port=80, plain=True), "index.example.org"),
        (target(plain=True), "index.example.org:443"),
        (target("2001:db8::7"), "[2001:db8::7]"),
    ],
)
def test_the_host_is_written_as_in_its_urls(one: Target, authority: str) -> None:
    sent = authorized.request_of(Head(b"HEAD http://x:443/ HTTP/1.1", b""), one)
    assert f"\r\nHost: {authority}\r\n".encode() in sent


@pytest.mark.parametrize(
    "lines",
    [
        *(f"{method} http://a:443/ HTTP/1.1" for method in "POST PUT DELETE PATCH OPTIONS TRACE PROPFIND".split()),
        "GET http://a:443/ HTTP/1.1\r\nContent-Length: 1",
        "GET http://a:443/ HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5",
        "GET http://a:443/ HTTP/1.1\r\nTransfer-Encoding: chunked",
        "HEAD http://a:443/ HTTP/1.1\r\nContent-Length: +0",
    ],
)
def test_nothing_but_reading_gets_the_credential(lines: str) -> None:
    with pytest.raises(RefusedError):
        authorized.request_of(Head(lines.encode(), b""), target())


def answer(data: bytes, one: Target | None = None) -> tuple[bytes, bytes]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        answer = authorized.answer_of(ours, one or target(), b"asked")
        assert theirs.recv(100) == b"asked"
        return answer


def test_no_field_that_may_be_a_credential_comes_back() -> None:
    head, rest = answer(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.0 200 All right\r\nSet-Cookie: session=1\r\nSet-Cookie2: x\r\nX-Auth-Token: t\r\n"
        b"Authorization: Basic c2VjcmV0\r\nWWW-Authenticate: Basic realm=x\r\nAuthentication-Info: x\r\n"
        b'Connection: keep-alive\r\nETag: "e"\r\ncontent-length: 4\r\nX: y\r\n folded: Set-Cookie\r\n\r\nbody'
    )
    assert head == b'HTTP/1.1 200 All right\r\nETag: "e"\r\ncontent-length: 4\r\nConnection: close\r\n\r\n'
    assert rest == b"body"


@pytest.mark.parametrize(
    ("location", "passed"),
    [
        ("/elsewhere", "/elsewhere"),
        ("https://index.example.org/a?b", "http://index.example.org:443/a?b"),
        ("HTTPS://Index.example.org:443/a", "http://index.example.org:443/a"),
        ("https://index.example.org", "http://index.example.org:443"),
        ("https://index.example.org:8443/a", "https://index.example.org:8443/a"),
        ("https://index.example.org.other.example/a", "https://index.example.org.other.example/a"),
        ("https://index.example.org@other.example/a", "https://index.example.org@other.example/a"),
        ("https://files.example.org/a?signature=1", "https://files.example.org/a?signature=1"),
    ],
)
def test_a_redirect_is_passed_on_and_one_on_the_same_host_leads_back(location: str, passed: str) -> None:
    head, _ = answer(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode())
    assert f"\r\nLocation: {passed}\r\n".encode() in head


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"HTTP/1.1 200", b"SSH-2.0-x\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n"),
        *(b"HTTP/1.1 100 Continue\r\n\r\n" * 11, b"HTTP/1.1 200 \x00\r\n\r\n"),
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(RefusedError, match="its answer"):
        answer(data)


def test_without_tls_no_public_address_is_good_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    one = target("mirror", 80, plain=True, private=True)
    monkeypatch.setattr("isolated_hooks.network.serving.addresses.is_of_this_machine", lambda _: False)
    assert "no credential goes without TLS" in one.permits("8.8.8.8")
    assert one.permits("10.0.0.1") == ""
