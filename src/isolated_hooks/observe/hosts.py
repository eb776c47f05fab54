"""Names of hosts that a hook looked up, as findings. The hook chooses them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .evidence import Evidence
from .hints import Cause, Finding

__all__ = ["looked_up"]

_NAME = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*", re.IGNORECASE
)
_OWN = ("localhost", ".localhost")
_REVERSE = ".arpa"  # asks for the name of an address
_HTTP, _HTTPS = 80, 443


def looked_up(evidence: Evidence, query: bytes) -> Iterator[Finding]:
    """Yield a finding about the name in a query to a name server, if the sandbox is why that has no answer.

    A look-up tells no port, so it is the one of HTTPS, unless the output has an address that begins with ``http://``.
    """
    name = query.decode("ascii", "backslashreplace").lower().rstrip(".")
    if evidence.network or name.endswith((_REVERSE, *_OWN)) or not _NAME.fullmatch(name):
        return
    if evidence.hosts:
        yield Finding(cause=Cause.DIRECT, what=name)
        return
    port = _HTTP if any(f"http://{name}" in line for line in evidence.lines) else _HTTPS
    yield Finding(cause=Cause.LOOKUP, what=name, value=f"{name}:{port}")
