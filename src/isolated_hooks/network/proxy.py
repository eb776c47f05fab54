"""The proxy of one hook: starting it, what it refuses at once, and what it reports at the end."""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from ..errors import PolicyError, SandboxSetupError, SandboxUnavailableError
from ..files.spelling import absolute
from ..launchers.child import child_environ
from ..policy.hostauth import HostAuth
from ..policy.hosts import PRIVATE, Host
from ..report import Connection
from ..sandbox import wayout
from ..text import visible
from .credentials import authorizations
from .upstream import proxies_of

__all__ = ["Proxy"]

_ENTRY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "serving", "__main__.py")
# An operator's proxy has 20 seconds to answer, and the names have three.
_READY = 40.0
_LAST = 5.0
_MOST = 1 << 20
# What the interpreter, and the resolver of its C library, need: resolver(3). Our other variables may be credentials.
_VARIABLES = ("RES_OPTIONS", "LOCALDOMAIN")
# The certificates that the proxy trusts for hosts with a credential, SSL_CTX_set_default_verify_paths(3).
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Proxy:
    """The proxy of one hook, as a context manager. It runs outside of the sandbox, and ends with the hook.

    :param hosts: what the hook may reach
    :param workspace: the private directory of the call, in which the launcher finds it
    :param environ: the caller's environment, which may name a proxy of the operator's own, and netrc
    :param auths: where the credentials for some of the hosts come from
    :param sees: tells whether the hook may see what is at a real path
    :raises PolicyError: a name resolves to an address that the policy does not allow, the environment names a proxy of
        another kind, or a credential cannot be had
    :raises SandboxUnavailableError: the operator's proxy cannot be reached
    :raises SandboxSetupError: the proxy does not start
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        workspace: str,
        environ: Mapping[str, str],
        *,
        auths: Sequence[HostAuth] = (),
        sees: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._hosts = tuple(hosts)
        self._certificates = {n: _absolute(environ[n]) for n in _CERTIFICATES if auths and environ.get(n)}
        credentials = authorizations(auths, environ, sees) if auths else {}
        plain = {(auth.host.name, auth.host.port) for auth in auths if auth.plain}
        order = [_order(host, environ, credentials, plain=(host.name, host.port) in plain) for host in hosts]
        data = marshal.dumps({"hosts": order, "door": os.fsdecode(wayout.NAME)})
        self._order = len(data).to_bytes(4, "little") + data
        self._workspace = workspace
        self._read = b""

    def __enter__(self) -> Proxy:
        variables = {n: v for n, v in child_environ().items() if n.startswith("LD_") or n in _VARIABLES}
        variables |= self._certificates
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _ENTRY],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._workspace,
                env=variables,
                bufsize=0,
                start_new_session=True,  # an interrupt at the terminal is for the hook, whose end we report
            )
        except OSError as error:
            raise SandboxSetupError("starting the proxy", path=sys.executable, errno=error.errno or 0) from error
        try:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(self._order)
            self._order = b""  # it may hold credentials
            self._check(self._document(_READY))
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kill()

    def connections(self) -> tuple[Connection, ...]:
        """End the proxy, and return the connections that the hook has asked for; none if it has ended too early."""
        assert self._process.stdin is not None
        # The launcher has ended, or is about to. A proxy that never heard of one waits for this.
        self._process.stdin.close()
        document = self._document(_LAST) or {}
        return tuple(Connection(**entry) for entry in document.get("connections", ()))

    def _kill(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _document(self, seconds: float) -> dict[str, Any] | None:
        """Return the next message of the proxy; ``None`` if there is none within some seconds."""
        assert self._process.stdout is not None
        end = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        while len(self._read) < 4 or len(self._read) < 4 + (size := int.from_bytes(self._read[:4], "little")):
            if len(self._read) > _MOST or not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                return None
            more = self._process.stdout.read(65536)
            if not more:
                return None
            self._read += more
        document: dict[str, Any] = marshal.loads(self._read[4 : 4 + size])
        self._read = self._read[4 + size :]
        return document

    def _check(self, document: dict[str, Any] | None) -> None:
        if document is None:
            raise SandboxSetupError("starting the proxy", path=sys.executable, reason="it did not get ready")
        for variable, problem in document["proxies"].items():
            raise SandboxUnavailableError(
                [f"the proxy that the variable {variable} names, through which the hosts in 'network' are reached: "
                 f"{visible(problem)}"],
                f"start that proxy, unset {variable}, or add the hosts to no_proxy",
            )  # fmt: skip
        for host in self._hosts:
            if problem := document["refused"].get(host.name):
                raise PolicyError(
                    f"network: {host}: {visible(problem)}, so hooks may not reach it; if you trust whoever answers for "
                    f"that name, write {host}{PRIVATE}, or name the address itself"
                )


def _order(
    host: Host, environ: Mapping[str, str], credentials: Mapping[tuple[str, int], str], *, plain: bool
) -> dict[str, Any]:
    """Return what the proxy has to know of a host."""
    proxies = proxies_of(host, environ)
    if plain and "plain" in proxies:
        raise PolicyError(
            f"network_auth: {host} without TLS would show the credential to the proxy that the variable "
            f"{proxies['plain']['variable']} names (expected a direct way): add {host.name} to no_proxy"
        )
    return {
        "name": host.name,
        "port": host.port,
        "literal": host.literal,
        "private": host.private,
        "proxies": proxies,
        "authorization": credentials.get((host.name, host.port), ""),
        "plain": plain,
    }


def _absolute(paths: str) -> str:
    # SSL_CERT_DIR is a list, and the proxy has another working directory.
    return ":".join(absolute(path) for path in paths.split(":"))
