"""Requests to a host for which the operator has given a credential: we add it outside, and the hook never has it.

A tunnel is between the hook and the host, so nothing can be added there. The hook asks for ``http://HOST:PORT/...``
instead, and we speak TLS with the host, by the trust of the frontend's own OpenSSL. Only reading is passed on: GET and
HEAD, without a body. We write both heads anew from short lists of fields, and pass on the body of the answer as it is.
No redirect is followed.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from . import head, upstream
from .addresses import RefusedError, Target

__all__ = ["SILENCE", "answer_of", "context", "problem_of", "request_of", "secured"]

if False:
    import ssl
    from typing import Any

#: Seconds for a host that computes an answer, as for any other one.
SILENCE = 600.0
_METHODS = (b"GET", b"HEAD")
_HANDSHAKE = 20.0
_MOST_INTERIM = 10
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([\t -~\x80-\xff]*))?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
# What clients need to read and cache an answer, and to go on elsewhere. A cookie, a token or a challenge that came for
# the credential is one as well, so no other field passes.
_PASSED = frozenset(
    b"accept-ranges age allow cache-control content-disposition content-encoding content-language content-length "
    b"content-range content-type date digest etag expires last-modified link location retry-after transfer-encoding "
    b"vary warning x-pypi-last-serial".split()
)


def context() -> ssl.SSLContext:
    """Return what checks certificates: OpenSSL's default, and what SSL_CERT_FILE and SSL_CERT_DIR name."""
    import ssl  # only for a policy with a credential

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def authority_of(target: Target) -> str:
    """Return the host as its own URLs write it: without the port that the scheme has anyway, RFC 3986, 3.2.3."""
    name = f"[{target.name}]" if ":" in target.name else target.name
    return name if target.port == (80 if target.plain else 443) else f"{name}:{target.port}"


def request_of(request: head.Head, target: Target) -> bytes:
    """Return the request with the credential.

    :raises RefusedError: it is no mere reading
    """
    if request.method not in _METHODS:
        raise RefusedError("only GET and HEAD get the credential of network-auth")
    try:
        return request.with_credential(authority_of(target), target.authorization)
    except head.MalformedError as problem:
        raise RefusedError(str(problem)) from problem


def secured(target: Target, trust: Any, connect: Callable[[], socket.socket]) -> socket.socket:
    """Return a connection to the host itself, perhaps through the operator's proxy, over TLS unless it is plain.

    :param trust: what :func:`context` has returned
    :param connect: connects without a proxy
    :raises RefusedError: it cannot be made, or the host cannot show that it is the one
    """
    if target.plain:
        return connect()
    proxy = target.proxies.get("connect")
    one, rest = upstream.tunnel(proxy, target) if proxy is not None else (connect(), b"")
    try:
        if rest:
            raise RefusedError("it speaks before TLS begins")
        one.settimeout(_HANDSHAKE)
        return trust.wrap_socket(one, server_hostname=target.name)  # type: ignore[no-any-return]
    except OSError as error:
        one.close()
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or error.strerror or error
        remedy = "; if its authority is your own, name its certificate in SSL_CERT_FILE of the frontend"
        remedy = remedy if hasattr(error, "verify_message") else ""
        raise RefusedError(f"TLS with it fails: {reason}{remedy}") from error
    except RefusedError:
        one.close()
        raise


def problem_of(answer: bytes) -> str:
    """Return what the report says of an answer that does not take the credential, or an empty text."""
    return "it answers 401 to the credential of network-auth" if answer.startswith(b"HTTP/1.1 401 ") else ""


def answer_of(server: socket.socket, target: Target, request: bytes) -> tuple[bytes, bytes]:
    """Send a request. Return the head of the answer for the hook, and what has come of its body.

    :raises RefusedError: there is no answer of HTTP
    """
    rest = b""
    try:
        server.settimeout(_HANDSHAKE)
        server.sendall(request)
    except OSError as error:
        raise RefusedError(f"it takes no request: {error.strerror or error}") from error
    for _ in range(_MOST_INTERIM):
        try:
            data, rest = head.read_until(server, b"\r\n\r\n", rest, seconds=SILENCE)
        except head.MalformedError as problem:
            raise RefusedError(f"its answer: {problem}") from problem
        lines = data.split(b"\r\n")
        status = _STATUS.fullmatch(lines[0])
        if status is None or status[1] == b"101":
            break
        if not status[1].startswith(b"1"):
            return _written(status, lines[1:], target), rest
    raise RefusedError("its answer is none of HTTP")


def _written(status: re.Match[bytes], lines: list[bytes], target: Target) -> bytes:
    headers = [field for field in map(_FIELD.fullmatch, lines) if field is not None]
    passed = [(field[1], field[2]) for field in headers if field[1].lower() in _PASSED]
    fields = [name + b": " + _led_back(name, value, target) for name, value in passed]
    return b"\r\n".join((b"HTTP/1.1 %b %b" % (status[1], status[2] or b""), *fields, b"Connection: close", b"", b""))


def _led_back(name: bytes, value: bytes, target: Target) -> bytes:
    """Return the target of a redirect; one on the same host over TLS as the hook has to ask for it."""
    if name.lower() != b"location" or target.plain:
        return value
    place = f"[{target.name}]" if ":" in target.name else target.name
    full = f"{place}:{target.port}"
    for authority in dict.fromkeys((authority_of(target), full)):
        start = f"https://{authority}".encode("ascii")
        if value.lower().startswith(start) and value[len(start) :][:1] in (b"", b"/", b"?", b"#"):
            return f"http://{full}".encode("ascii") + value[len(start) :]
    return value
