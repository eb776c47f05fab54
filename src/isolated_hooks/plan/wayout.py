"""The variables that lead programs in the sandbox to our proxy, where the policy names the hosts that a hook reaches.

Nobody honours all of them: curl and git read the name in lower case alone, Go that in upper case; npm, yarn and cargo
have names of their own, and cargo's wins over its configuration. A JVM reads none. We set what Gradle, Maven, Ant and
sbt pass on to theirs, and not ``JAVA_TOOL_OPTIONS`` or ``JDK_JAVA_OPTIONS``: with these, each JVM prints a line of its
own first, which a build that reads the output of ``java -version`` takes for the version.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..policy.hosts import Host
from ..sandbox.wayout import ADDRESS, PORT
from .environtables import PROXY_VARIABLES

__all__ = ["REMOVED", "defaults", "variables"]

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


def _direct(hosts: Iterable[Host]) -> tuple[str, ...]:
    named = {host.name for host in hosts}
    return tuple(name for name in _OWN if name not in named)
