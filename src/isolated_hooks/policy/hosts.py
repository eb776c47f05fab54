"""The hosts that a policy lets hooks reach, each with one port: the form ``HOST:PORT``, and its check."""

from __future__ import annotations

import re

from ..frozen import dataclass
from . import checks

__all__ = ["ALL", "PRIVATE", "Host", "network", "parse_host"]

#: The word that stands for the whole network on the command line.
ALL = "all"
#: The end of an entry whose name may resolve to a private address.
PRIVATE = "/private"

_EXPECTED = (
    "HOST:PORT, such as index.example.org:443, 192.0.2.7:8080 or [2001:db8::7]:443, or NAME:PORT/private for a name "
    "that resolves to a private address"
)
# A name of DNS or of /etc/hosts, hosts(5), in lower case. Container networks have names with underscores.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# getaddrinfo(3) takes a name whose last part is a number for an address in an old notation, inet_aton(3).
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_MOST = 1000


@dataclass(frozen=True)
class Host:
    """One host and port that hooks may reach.

    :ivar name: a name in lower case, or an address in its shortest notation, without brackets
    :ivar port: the number of the TCP port
    :ivar literal: ``name`` is an address
    :ivar private: the name may resolve to a private address or to one of this machine
    """

    name: str
    port: int
    literal: bool = False
    private: bool = False

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{name}:{self.port}{PRIVATE if self.private else ''}"


def network(label: str, value: object) -> bool | tuple[str, ...]:
    """Check the key ``network``: ``True``, ``False``, or an iterable of ``HOST:PORT``, returned in its normal form."""
    if isinstance(value, bool):
        return value
    entries = checks.items(label, value, "HOST:PORT, or true or false")
    if not entries:
        raise checks.wrong(label, value, "at least one HOST:PORT", "write false for no network")
    if len(entries) > _MOST:
        raise checks.wrong(label, len(entries), f"at most {_MOST} entries")
    return tuple(dict.fromkeys(str(parse_host(label, entry)) for entry in entries))


def parse_host(label: str, value: object) -> Host:
    """Return the host that ``HOST:PORT`` names.

    :param label: names the value; an error text begins with it
    :raises PolicyError: the value has another form
    """
    if not isinstance(value, str):
        raise checks.wrong(label, value, _EXPECTED)
    text = value.removesuffix(PRIVATE)
    name, _, port = text.rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise checks.wrong(label, value, _EXPECTED, "a port is a number from 1 to 65535, and each entry has one")
    address = name[1:-1] if name.startswith("[") and name.endswith("]") else ""
    lower = name.lower()
    if address or _NUMBER.fullmatch(lower):
        if text != value:
            raise checks.wrong(label, value, _EXPECTED, f"an address needs no {PRIVATE}")
        return Host(_address(label, value, address or name, version=6 if address else 4), int(port), literal=True)
    if not name.isascii():
        raise checks.wrong(label, value, _EXPECTED, "write a name of another script in ASCII, as xn--...")
    if len(name) > 253 or not _NAME.fullmatch(lower):
        raise checks.wrong(label, value, _EXPECTED, _advice(name))
    return Host(lower, int(port), private=text != value)


def _advice(name: str) -> str:
    if "*" in name:
        return "name each host: there are no wildcards"
    if "/" in name or "@" in name:
        return "leave out the scheme, the path and any user name"
    return "an address of IPv6 stands in brackets" if ":" in name else ""


def _address(label: str, value: str, text: str, *, version: int) -> str:
    import ipaddress  # only where a policy names an address

    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version or "%" in text:
        remedy = "" if version == 4 else "brackets hold an address of IPv6 without a zone"
        raise checks.wrong(label, value, _EXPECTED, remedy)
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        raise checks.wrong(label, value, _EXPECTED, "no host has this address")
    if address.version == 6 and address.ipv4_mapped:
        raise checks.wrong(label, value, _EXPECTED, f"write the address of IPv4: {address.ipv4_mapped}")
    return str(address)
