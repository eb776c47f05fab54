"""What a name may lead to: public addresses, and others only by the policy's own word."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from isolated_hooks.network.serving import addresses
from isolated_hooks.network.serving.addresses import RefusedError, Resolver, Target


def target(name: str, *, private: bool = False, literal: bool = False, port: int = 443) -> Target:
    return Target(
        {
            "name": name,
            "port": port,
            "literal": literal,
            "private": private,
            "proxies": {},
            "authorization": "",
            "plain": False,
        }
    )


def answering(monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> None:
    """Let each look-up of a name have the next answer, and each further one the last."""
    left = list(answers)

    def getaddrinfo(name: str, port: object, **_: Any) -> list[Any]:
        answer = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, 0)) for one in answer]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        *(
            (address, "global")
            for address in "8.8.8.8 151.101.0.223 172.32.0.1 2a04:4e42::223 64:ff9b::808:808".split()
        ),
        *((a, "private") for a in "10.1.2.3 168.63.129.16 172.31.255.255 192.168.0.1 100.64.0.1 127.0.0.1".split()),
        *((a, "private") for a in "::1 fd00::1 fc00::1 64:ff9b::a00:1 64:ff9b::7f00:1".split()),
        *((a, "special") for a in "0.0.0.0 0.1.2.3 169.254.169.254 192.0.0.170 198.18.0.1 224.0.0.1 240.0.0.1".split()),
        *(
            (a, "special")
            for a in "255.255.255.255 192.0.2.1 :: fe80::1 ff02::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8".split()
        ),
        *((a, "special") for a in "::7f00:1 2002:7f00:1:: 2001::1 2001:db8::1 64:ff9b:1::1 fec0::1 5f00::1".split()),
        ("64:ff9b::a9fe:a9fe", "special"),
    ],
)
def test_the_kind_of_an_address(address: str, kind: str) -> None:
    assert addresses.kind_of(ipaddress.ip_address(address)) == kind


def test_a_name_leads_to_public_addresses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ("10.0.0.1", "8.8.8.8", "127.0.0.1", "169.254.169.254"))
    assert Resolver().addresses(target("mixed.example")) == ("8.8.8.8",)
    for private, allowed in ((False, ()), (True, ("10.0.0.1", "127.0.0.1"))):
        answering(monkeypatch, ("10.0.0.1", "169.254.169.254", "127.0.0.1", "::ffff:10.0.0.1"))
        try:
            found = Resolver().addresses(target("private.example", private=private))
        except RefusedError as problem:
            found = ()
            assert "10.0.0.1: it is a private address" in str(problem)
        assert found == allowed


def test_an_address_of_this_machine_is_as_private_as_its_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_of_this_machine", lambda _: True)
    answering(monkeypatch, ("8.8.8.8",))
    with pytest.raises(RefusedError, match="of this machine"):
        Resolver().addresses(target("own.example"))
    assert Resolver().addresses(target("own.example", private=True)) == ("8.8.8.8",)
    monkeypatch.undo()
    assert addresses.is_of_this_machine(ipaddress.ip_address("127.0.0.1"))


def test_an_answer_that_changes_after_the_check_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the second answer for the same name is a private address."""
    answering(monkeypatch, ("8.8.8.8",), ("127.0.0.1",))
    resolver, one = Resolver(), target("rebinding.example")
    checked = resolver.addresses(one)
    assert checked == ("8.8.8.8",)
    connected: list[tuple[str, int]] = []

    def connect(_self: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(addresses.socket, "socket", type("S", (socket.socket,), {"connect": connect}))
    with pytest.raises(RefusedError):
        addresses.connect(checked, 443)
    assert connected == [("8.8.8.8", 443)]
    monkeypatch.setattr(addresses, "_REMEMBERED", 0.0)
    monkeypatch.setattr(resolver, "_answers", {})
    with pytest.raises(RefusedError, match=r"127\.0\.0\.1: it is a private address"):
        resolver.addresses(one)


def test_names_are_looked_up_before_the_hook_and_those_without_an_answer_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def getaddrinfo(name: str, port: object, **_: Any) -> list[Any]:
        if name == "none.example":
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, 1, 6, "", ("10.0.0.1" if name == "private.example" else "8.8.8.8", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    targets = [target(name) for name in ("none.example", "private.example", "public.example")]
    refused = Resolver().look_ahead([*targets, target("10.0.0.1", literal=True)], 10)
    assert [*refused] == ["private.example"]
