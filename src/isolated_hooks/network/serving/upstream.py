"""The operator's own proxy, which stands between us and the hosts where the caller's environment names one.

It resolves the names itself, as it does for every other program of the caller.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from . import addresses, head
from .addresses import RefusedError, Target

__all__ = ["credential", "headers", "reach", "tunnel", "unreachable"]

_Proxy = Mapping[str, "Any"]
if False:
    from typing import Any


def unreachable(targets: Iterable[Target]) -> dict[str, str]:
    """Return why the proxies of some targets cannot be reached, by the variables that name them."""
    proxies = {proxy["variable"]: proxy for target in targets for proxy in target.proxies.values()}
    problems: dict[str, str] = {}
    for variable, proxy in proxies.items():
        try:
            reach(proxy).close()
        except RefusedError as problem:
            problems[variable] = str(problem)
    return problems


def reach(proxy: _Proxy) -> socket.socket:
    """Connect to it. The operator has named it, so it may have any address.

    :raises RefusedError: it cannot be reached
    """
    try:
        answers = socket.getaddrinfo(proxy["host"], None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise RefusedError("the operator's proxy: its name cannot be resolved") from error
    try:
        return addresses.connect(dict.fromkeys(str(answer[4][0]) for answer in answers), proxy["port"])
    except RefusedError as problem:
        raise RefusedError(f"the operator's proxy: {problem}") from problem


def credential(target: Target) -> str:
    """Return the credential that goes with a plain request to a target, or an empty text."""
    return str(target.proxies.get("plain", {}).get("authorization", ""))


def headers(proxy: _Proxy) -> bytes:
    """Return the lines that it gets of us: the credentials that the variable holds."""
    authorization = str(proxy["authorization"])
    return f"Proxy-Authorization: {authorization}\r\n".encode("latin-1") if authorization else b""


def tunnel(proxy: _Proxy, target: Target) -> tuple[socket.socket, bytes]:
    """Have it connect to a target. Return the connection, and what has already come from the target.

    :raises RefusedError: it does not
    """
    one = reach(proxy)
    name = f"[{target.name}]" if ":" in target.name else target.name
    place = f"{name}:{target.port}".encode("ascii")
    try:
        one.sendall(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (place, place, headers(proxy)))
        answer, rest = head.read_until(one, b"\r\n\r\n")
    except (OSError, head.MalformedError) as error:
        one.close()
        raise RefusedError("the operator's proxy does not answer") from error
    words = answer.split(b"\r\n", 1)[0].split(b" ")
    code = words[1].decode("ascii", "replace") if len(words) > 1 else ""
    if not (code.isascii() and code.isdigit() and len(code) == 3):
        code = "no answer of HTTP"
    if code != "200":
        one.close()
        raise RefusedError(f"the operator's proxy refuses it: {code}")
    return one, rest
