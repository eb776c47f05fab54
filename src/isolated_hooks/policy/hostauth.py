"""Credentials for named hosts, which the proxy adds outside: the form ``HOST:PORT=netrc|keyring[:USER]``."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import PolicyError
from ..frozen import dataclass
from . import checks
from .hosts import PRIVATE, Host, parse_host

__all__ = ["KEYRING", "NETRC", "PLAIN", "HostAuth", "check_named", "network_auth", "parse_auth"]

NETRC, KEYRING = "netrc", "keyring"
#: The end of a host and port to which the credential may go without TLS.
PLAIN = "/plain"

_EXPECTED = (
    "HOST:PORT=netrc, HOST:PORT=keyring or HOST:PORT=keyring:USER, such as index.example.org:443=netrc; HOST:PORT"
    f"{PLAIN}=... is for a private host without TLS"
)
_LONGEST_USER = 255


@dataclass(frozen=True)
class HostAuth:
    """Where the credential for one host and port comes from.

    :ivar host: the host and port
    :ivar source: ``"netrc"`` or ``"keyring"``
    :ivar user: the user name to ask a keyring for, or empty
    :ivar plain: the credential goes out without TLS
    """

    host: Host
    source: str
    user: str = ""
    plain: bool = False

    @property
    def place(self) -> str:
        """The host and port."""
        return str(self.host)

    @property
    def authority(self) -> str:
        """The host and port as a URL writes them: without the port that the scheme has anyway, RFC 3986, 3.2.3."""
        usual = 80 if self.plain else 443
        return self.place.removesuffix(f":{usual}") if self.host.port == usual else self.place

    def __str__(self) -> str:
        return f"{self.place}{PLAIN if self.plain else ''}={self.source}{self.user and f':{self.user}'}"


def network_auth(label: str, value: object) -> tuple[str, ...]:
    """Check the key ``network_auth``: an iterable of entries, returned in their normal form."""
    entries = [parse_auth(label, entry) for entry in checks.items(label, value, "HOST:PORT=netrc or HOST:PORT=keyring")]
    for number, auth in enumerate(entries):
        if any(auth.host == other.host and auth != other for other in entries[:number]):
            raise PolicyError(f"{label}: {auth.place} has two entries (expected one): remove one of them")
    return tuple(dict.fromkeys(map(str, entries)))


def parse_auth(label: str, value: object) -> HostAuth:
    """Return what an entry says.

    :param label: names the value; an error text begins with it, and never has what follows the first ``=``: people
        write passwords there
    :raises PolicyError: the value has another form
    """
    if not isinstance(value, str):
        raise checks.wrong(label, value, _EXPECTED)
    place, equals, origin = value.partition("=")
    source, colon, user = origin.partition(":")
    shown = f"{place.rpartition('@')[2]}{equals and '=...'}"
    if "@" in place or not equals or source not in (NETRC, KEYRING):
        raise checks.wrong(label, shown, _EXPECTED, "the credential itself stays in netrc or the keyring")
    if colon and (source == NETRC or not _is_user(user)):
        advice = "after keyring: stands a user name without a colon, and after netrc nothing"
        raise checks.wrong(label, shown, _EXPECTED, advice)
    try:
        host = parse_host(label, place.removesuffix(PLAIN))
    except PolicyError:
        raise checks.wrong(label, shown, _EXPECTED, "write the host and port as in network") from None
    if host.private:
        raise checks.wrong(label, shown, _EXPECTED, f"leave {PRIVATE} to the entry in network")
    return HostAuth(host, source, user, plain=place.endswith(PLAIN))


def _is_user(user: str) -> bool:
    # RFC 7617, 2: a user name has no colon and no control character.
    return 0 < len(user) <= _LONGEST_USER and user.isprintable() and ":" not in user


def check_named(label: str, auths: Iterable[HostAuth], named: Iterable[Host]) -> None:
    """Check that each host of some credentials is among the named hosts, and that none goes openly to a public one.

    :raises PolicyError: it is not, or it does
    """
    hosts = {(host.name, host.port): host for host in named}
    for auth in auths:
        host = hosts.get((auth.host.name, auth.host.port))
        if host is None:
            raise PolicyError(
                f"{label}: {auth.place} is not in network (expected a host that network names): "
                f"add {auth.place} to network, or remove the entry {auth}"
            )
        if auth.plain and not (host.private or _is_private(host)):
            raise PolicyError(
                f"{label}: {auth} would send a credential to a public host without TLS (expected a private address, "
                f"or a name that ends in {PRIVATE} in network): remove {PLAIN}"
            )


def _is_private(host: Host) -> bool:
    import ipaddress  # only where a policy says /plain

    return host.literal and not ipaddress.ip_address(host.name).is_global
