"""The operator's own proxy, as the caller's environment names it: our proxy goes through it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from ..errors import PolicyError
from ..policy.hosts import Host

__all__ = ["proxies_of"]

_URL = re.compile(r"(?:http://)?(?:([^@/]*)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?")
# What asks for which variables, curl(1): those in lower case come first.
_VARIABLES = {"connect": ("https_proxy", "all_proxy"), "plain": ("http_proxy", "all_proxy")}


def proxies_of(host: Host, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the operator's proxy for requests to a host, by their kind: ``connect`` and ``plain``.

    :raises PolicyError: a variable names a proxy of a kind that we cannot go through; the text has no credential
    """
    if _is_direct(host, environ):
        return {}
    proxies = {kind: _first(environ, *names) for kind, names in _VARIABLES.items()}
    return {kind: _parsed(name, environ[name]) for kind, name in proxies.items() if name}


def _first(environ: Mapping[str, str], *names: str) -> str:
    spellings = (spelling for name in names for spelling in (name, name.upper()))
    return next((name for name in spellings if environ.get(name)), "")


def _is_direct(host: Host, environ: Mapping[str, str]) -> bool:
    """Return whether ``no_proxy`` names the host, one of its domains, or everything."""
    name = _first(environ, "no_proxy")
    for word in environ[name].replace(",", " ").split() if name else ():
        domain = word.lower().removesuffix(f":{host.port}").strip("[]").removeprefix("*").lstrip(".")
        if word == "*" or host.name == domain or (domain and not host.literal and host.name.endswith(f".{domain}")):
            return True
    return False


def _parsed(variable: str, url: str) -> dict[str, Any]:
    match = _URL.fullmatch(url)
    if match is None or not 0 < int(match[3]) < 65536:
        raise PolicyError(
            f"network: the variable {variable} names no proxy that isolated-hooks can go through (expected "
            "http://HOST:PORT, perhaps with a user name and a password): unset it, or add the hosts to no_proxy"
        )
    from urllib.parse import unquote  # only where there is such a proxy

    words = unquote(match[1] or "")
    authorization = f"Basic {base64.b64encode(words.encode()).decode()}" if words else ""
    host = match[2].strip("[]")
    return {"variable": variable, "host": host, "port": int(match[3]), "authorization": authorization}
