"""The name server of a hook: of a query only the name is read, and the answer is that there is no such host."""

from __future__ import annotations

import os
import socket

import pytest

from isolated_hooks.sandbox import lookups
from isolated_hooks.sandbox.lookups import MOST, Lookups, asked_too, question_of
from isolated_hooks.sandbox.operations import File, Symlink

QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("data", "name"),
    (
        (QUERY + b"\x03www\x07example\x03org\x00\x00\x01\x00\x01", b"www.example.org"),
        (QUERY + b"\x00\x00\x01\x00\x01", b""),
        (QUERY + b"\x03www\x07exam", b""),
        (QUERY + b"\xc0\x0c\x00\x01\x00\x01\x00", b""),
        (b"\x12\x34\x81" + QUERY[3:] + b"\x03www\x00\x00\x01\x00\x01", b""),  # an answer
        (b"GET / HTTP/1.1\r\nAuthorization: Basic c2VjcmV0\r\n", b""),
        (b"", b""),
        (QUERY, b""),
    ),
)
def test_only_the_name_in_a_query_is_read(data: bytes, name: bytes) -> None:
    assert question_of(data)[0] == name


def test_any_packet_gives_a_short_name() -> None:
    for seed in range(500):
        data = os.urandom(seed % 40)
        assert len(question_of(QUERY + data * 20)[0]) <= 253


def test_each_query_is_answered_and_some_names_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "_ADDRESS", b"\2\0\0\0" + socket.inet_aton("127.0.0.1") + bytes(8))  # any port
    server = Lookups()
    with socket.socket(fileno=server.fd) as listening, socket.socket(type=socket.SOCK_DGRAM) as asking:
        asking.connect(listening.getsockname())
        asking.settimeout(10)
        server.answer()  # nothing waits
        for number in range(MOST + 3):
            question = b"\x02%02d\x07example\x00\x00\x01\x00\x01" % number
            asking.send(b"no query of a name")
            asking.send(QUERY + question + b"more")
            server.answer()
            # RFC 1035 4.1.1: an answer (QR), RD as in the query, RA, RCODE 3: no such name.
            assert asking.recv(512) == b"\x12\x34\x81\x83\0\1\0\0\0\0\0\0" + question
        assert list(server.names) == [b"%02d.example" % number for number in range(MOST)]


def test_one_turn_answers_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that asks without an end does not keep pid 1 from its other work."""
    monkeypatch.setattr(lookups, "_ADDRESS", b"\2\0\0\0" + socket.inet_aton("127.0.0.1") + bytes(8))
    received = []
    monkeypatch.setattr(lookups.syscalls, "receive_from", lambda fd, size: received.append(size) or (b"", b""))
    server = Lookups()
    server.answer()
    os.close(server.fd)
    assert len(received) == 16


def test_only_the_order_of_look_ups_changes() -> None:
    file = File("/etc/nsswitch.conf", "group: files\nhosts: files\n")
    others = [Symlink("/etc/nsswitch.conf", "elsewhere"), File("/etc/hosts", "hosts: files\n")]
    assert asked_too([file, *others]) == [File(file.target, "group: files\nhosts: files dns\n"), *others]
