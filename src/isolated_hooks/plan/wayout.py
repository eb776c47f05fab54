"""The variables that lead programs in the sandbox to our proxy, where the policy names the hosts that a hook reaches.

Nobody honours all of them: curl and git read the name in lower case alone, Go that in upper case; npm, yarn and cargo
have names of their own, and cargo's wins over its configuration. A JVM reads none. We set what Gradle, Maven, Ant and
sbt pass on to theirs, and not ``JAVA_TOOL_OPTIONS`` or ``JDK_JAVA_OPTIONS``: with these, each JVM prints a line of its
own first, which a build that reads the output of ``java -version`` takes for the version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ..policy.hostauth import HostAuth
from ..policy.hosts import Host
from ..sandbox.wayout import ADDRESS, PORT
from .credentials import holds_credentials
from .environtables import PROXY_VARIABLES

__all__ = ["REMOVED", "defaults", "indexes", "variables"]

_URL = f"http://{ADDRESS}:{PORT}"
_URLS = (
    *(spelling for name in ("http_proxy", "https_proxy", "all_proxy") for spelling in (name, name.upper())),
    *("npm_config_proxy", "npm_config_https_proxy", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY", "CARGO_HTTP_PROXY"),
)
_DIRECT = ("no_proxy", "NO_PROXY")
# Programs may well talk to each other on the sandbox's own loopback.
_OWN = ("localhost", "127.0.0.1", "::1")

#: The caller's proxies for other protocols, and of programs with names of their own.
REMOVED = (
    *(name for name in PROXY_VARIABLES if name not in (*_URLS, *_DIRECT)),
    *("PIP_PROXY", "npm_config_noproxy", "GIT_PROXY_COMMAND", "RSYNC_PROXY"),
)


def variables(hosts: Iterable[Host]) -> dict[str, str]:
    """Return values that replace any other: programs that go elsewhere reach nothing.

    :param hosts: those of the policy; one of the caller's own loopback takes the place of the sandbox's
    """
    # NODE_USE_ENV_PROXY is for node's own fetch().
    return {
        **dict.fromkeys(_URLS, _URL),
        **dict.fromkeys(_DIRECT, ",".join(_direct(hosts))),
        "NODE_USE_ENV_PROXY": "1",
    }


def defaults(hosts: Iterable[Host]) -> dict[str, str]:
    """Return values for variables that the frontend has not set."""
    direct = "|".join(f"[{name}]" if ":" in name else name for name in _direct(hosts))
    proxies = (f"-D{kind}.proxyHost={ADDRESS} -D{kind}.proxyPort={PORT}" for kind in ("http", "https"))
    return dict.fromkeys(
        ("ANT_OPTS", "GRADLE_OPTS", "MAVEN_OPTS", "SBT_OPTS"), " ".join((*proxies, f"-Dhttp.nonProxyHosts={direct}"))
    )


def indexes(auths: Collection[HostAuth], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's own indexes for pip, as far as the proxy adds the credentials for them.

    pip asks an index of ``http://`` only if it is told to trust that host. It is told the port too, so this is about
    these URLs and about no other.

    :param auths: where the proxy gets credentials from
    :param environ: the caller's environment
    """
    if not auths:
        return {}
    places = {(a.host.name, a.host.port, "http" if a.plain else "https"): a.place for a in auths}
    routes = {}
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        led = [led for url in environ.get(name, "").split() if (led := _led(url, places))]
        if led:
            routes[name] = " ".join(led)
    used = [place for place in places.values() if any(f"http://{place}/" in value for value in routes.values())]
    return {**routes, "PIP_TRUSTED_HOST": " ".join(used)} if routes else {}


def _led(url: str, places: Mapping[tuple[str, int, str], str]) -> str:
    """Return a URL as the proxy takes it, without a user name or password; empty for one of another host."""
    from urllib.parse import urlsplit  # only for a policy with a credential

    try:
        parts = urlsplit(url)
        key = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), parts.scheme
    except ValueError:
        return ""
    if key not in places or parts.query or parts.fragment or holds_credentials(parts.path):
        return ""
    return f"http://{places[key]}{parts.path or '/'}"


def _direct(hosts: Iterable[Host]) -> tuple[str, ...]:
    named = {host.name for host in hosts}
    return tuple(name for name in _OWN if name not in named)
