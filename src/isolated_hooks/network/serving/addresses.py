"""Which addresses a name may lead to, and the connection to one of them.

We resolve a name ourselves, look at the addresses, and connect to one that we have looked at: whoever answers for the
name in DNS cannot exchange it in between. An answer with a private address, or with one of this machine, leads to what
the caller reaches and nobody else should: metadata services, routers, databases that trust their network.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Iterable, Mapping

__all__ = ["RefusedError", "Resolver", "Target", "connect", "kind_of"]

if False:
    from typing import Any

GLOBAL, PRIVATE, SPECIAL = "global", "private", "special"
# The registries of special-purpose addresses, https://www.iana.org/assignments/iana-ipv4-special-registry and
# iana-ipv6-special-registry. ipaddress knows them too, but each version of Python other ones. 168.63.129.16 is public,
# and in Azure each virtual machine reaches its host there, which hands out its configuration: "What is IP address
# 168.63.129.16?", learn.microsoft.com.
_PRIVATE = "10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 172.16.0.0/12 192.168.0.0/16 ::1/128 fc00::/7"
_SPECIAL = (
    "0.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
    "224.0.0.0/3 2001::/23 2001:db8::/32 2002::/16 3fff::/20"
)
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_TABLE = tuple(
    (ipaddress.ip_network(network), kind)
    for kind, networks in ((PRIVATE, _PRIVATE), (SPECIAL, _SPECIAL))
    for network in networks.split()
)
_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SECONDS = 20.0  # for a connection
_REMEMBERED = 30.0  # an answer of DNS
_WORKERS = 8


class RefusedError(Exception):
    """A connection that is not made. The text says why; it goes to the hook and into the report."""


class Target:
    """A host and port that the policy names.

    :ivar name: a name, or an address without brackets
    :ivar literal: it is an address
    :ivar private: it may resolve to a private address or one of this machine
    :ivar proxies: the operator's own proxy for ``connect`` and for ``plain`` requests, by these words
    :ivar authorization: the credential that requests to it get outside of the sandbox, or empty
    :ivar plain: the credential goes out without TLS
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        self.name: str = order["name"]
        self.port: int = order["port"]
        self.literal: bool = order["literal"]
        self.private: bool = order["private"]
        self.proxies: dict[str, dict[str, Any]] = order["proxies"]
        self.authorization: str = order["authorization"]
        self.plain: bool = order["plain"]

    def permits(self, address: str) -> str:
        """Return why an address of the name is refused, or an empty text."""
        if self.literal:
            return "" if address == self.name else "it is another address"
        parsed = ipaddress.ip_address(address)
        kind = kind_of(parsed)
        if self.plain and kind == GLOBAL and not is_of_this_machine(parsed):
            return "it is a public address, to which no credential goes without TLS"
        if kind == GLOBAL and is_of_this_machine(parsed):
            return "" if self.private else "it is an address of this machine"
        if kind == GLOBAL or (kind == PRIVATE and self.private):
            return ""
        return "it is no public address" if kind == SPECIAL else "it is a private address"


def kind_of(address: _Address) -> str:
    """Return whether an address is ``global``, ``private``, or ``special``: for no host that has a name."""
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        # A resolver with DNS64 makes such addresses of those of IPv4, RFC 6052.
        return kind_of(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    for network, kind in _TABLE:
        if address.version == network.version and address in network:
            return kind
    # This refuses addresses of IPv4 within those of IPv6 as well, such as ::ffff:127.0.0.1.
    return GLOBAL if address.version == 4 or address in _UNICAST else SPECIAL


def is_of_this_machine(address: _Address) -> bool:
    """Return whether packets to an address stay on this machine: then they leave from the same address, ip(7)."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((str(address), 9))  # sends nothing
            return bool(one.getsockname()[0] == str(address))
    except OSError:
        return False  # there is no way there


class Resolver:
    """Resolves names, and remembers the answers for half a minute. Several threads may use it."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, tuple[str, ...]]] = {}

    def addresses(self, target: Target) -> tuple[str, ...]:
        """Return the addresses that a target may be reached at.

        :raises RefusedError: there is none
        """
        if target.literal:
            return (target.name,)
        addresses = self._resolve(target.name)
        reasons = {address: target.permits(address) for address in addresses}
        permitted = tuple(address for address in addresses if not reasons[address])
        if not permitted:
            address = addresses[0]
            raise RefusedError(f"{target.name} resolves to {address}: {reasons[address]}")
        return permitted

    def _resolve(self, name: str) -> tuple[str, ...]:
        until, known = self._answers.get(name, (0.0, ()))
        if time.monotonic() < until:
            return known
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UnresolvedError(f"{name} cannot be resolved: {getattr(error, 'strerror', None) or error}") from error
        # A zone, as in fe80::1%eth0, belongs to a link-local address.
        addresses = tuple(dict.fromkeys(str(answer[4][0]).partition("%")[0] for answer in answers))
        self._answers[name] = time.monotonic() + _REMEMBERED, addresses
        return addresses

    def look_ahead(self, targets: Iterable[Target], seconds: float) -> dict[str, str]:
        """Resolve the names of some targets, for a bounded time. Return why names are refused, by name.

        A name that cannot be resolved now is not among them: it may be later, or a hook may not need it.
        """
        waiting = [target for target in targets if not target.literal]
        refused: dict[str, str] = {}

        def work() -> None:
            while waiting:
                try:
                    target = waiting.pop()
                except IndexError:
                    return
                try:
                    self.addresses(target)
                except UnresolvedError:
                    continue
                except RefusedError as problem:
                    refused[target.name] = str(problem)

        end = time.monotonic() + seconds
        workers = [threading.Thread(target=work, daemon=True) for _ in range(min(_WORKERS, len(waiting)))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(max(0.0, end - time.monotonic()))
        return dict(refused)


class UnresolvedError(RefusedError):
    """A name that DNS does not know, or not now."""


def connect(addresses: Iterable[str], port: int) -> socket.socket:
    """Connect to one of some addresses, in their order.

    :raises RefusedError: none of them accepts
    """
    end, problem = time.monotonic() + _SECONDS, OSError(errno.ETIMEDOUT, "Connection timed out")
    for address in addresses:
        left = end - time.monotonic()
        if left <= 0:
            break
        one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            one.settimeout(left)
            one.connect((address, port))
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return one
        except OSError as error:
            problem = error
            one.close()
    raise RefusedError(f"it does not answer: {problem.strerror or problem}")
