"""Reads the credentials that the policy asks for, in the frontend's process, for the proxy alone.

Nothing here is remembered, and no error text holds what netrc or the keyring says.
"""

from __future__ import annotations

import base64
import importlib.util
import netrc
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence

from ..errors import PolicyError
from ..files.spelling import absolute
from ..files.steered import recorded_trees
from ..policy.hostauth import KEYRING, HostAuth
from ..text import visible

__all__ = ["authorizations"]

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST = 1 << 20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def authorizations(
    auths: Sequence[HostAuth], environ: Mapping[str, str], sees: Callable[[str], bool]
) -> dict[tuple[str, int], str]:
    """Return the value of the header ``Authorization``, RFC 7617, by host and port.

    :param auths: where the credentials come from
    :param environ: the caller's environment, which may name the file of netrc
    :param sees: tells whether the hook may see what is at a real path: it must not see netrc
    :raises PolicyError: a credential cannot be had
    """
    known = _Netrc(environ, sees)
    stores = {}
    for auth in auths:
        user, password = _of_keyring(auth) if auth.source == KEYRING else known.of(auth)
        if ":" in user or not (user or password):
            raise PolicyError(
                f"network_auth: {auth}: the credential has {'a colon in its' if user else 'neither'} user name"
                f"{'' if user else ' nor password'} (expected a user name without a colon, and a password): correct it"
            )
        words = base64.b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape"))
        stores[auth.host.name, auth.host.port] = f"Basic {words.decode('ascii')}"
    return stores


class _Netrc:
    """The file of netrc, read once it is asked for."""

    def __init__(self, environ: Mapping[str, str], sees: Callable[[str], bool]) -> None:
        # requests, pip and curl read NETRC as well.
        self._path = absolute(os.path.expanduser(environ.get("NETRC") or "~/.netrc"))
        self._sees = sees
        self._entries: Mapping[str, tuple[str, str]] | None = None

    def of(self, auth: HostAuth) -> tuple[str, str]:
        """Return the user name and password of a host. An entry ``default`` names no host, so it is not used."""
        if self._entries is None:
            self._entries = self._read(auth)
        entry = self._entries.get(auth.host.name)
        if entry is None:
            raise self._problem(
                auth, "has no entry for this host", f"a line: machine {auth.host.name} login USER password PASSWORD"
            )
        return entry

    def _problem(self, auth: HostAuth, problem: str, expected: str) -> PolicyError:
        path = visible(self._path, limit=300)
        return PolicyError(
            f"network_auth: {auth}: {path} {problem} (expected {expected}): correct it, or name another file by NETRC"
        )

    def _read(self, auth: HostAuth) -> Mapping[str, tuple[str, str]]:
        real = os.path.realpath(self._path)
        if recorded_trees().steer(self._path) or self._sees(real):
            raise self._problem(auth, "is where hooks may see it", "a file that is neither in the tree nor exposed")
        try:
            fd = os.open(real, _FLAGS)
        except OSError as error:
            raise self._problem(auth, f"cannot be read: {error.strerror}", "a file of netrc") from None
        try:
            self._check(auth, os.fstat(fd))
            return self._parse(auth, fd)
        finally:
            os.close(fd)

    def _check(self, auth: HostAuth, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST:
            raise self._problem(auth, "is no file of netrc", f"a regular file of at most {_MOST} bytes")
        if status.st_mode & _OTHERS:
            raise self._problem(auth, "may be read by others", f"mode 600, got {stat.S_IMODE(status.st_mode):o}")
        if os.geteuid() not in (0, status.st_uid) and status.st_uid != 0:
            raise self._problem(auth, f"belongs to user {status.st_uid}", "a file of your own")

    def _parse(self, auth: HostAuth, fd: int) -> Mapping[str, tuple[str, str]]:
        try:
            hosts = netrc.netrc(f"/proc/self/fd/{fd}").hosts
            return {name.lower(): (login or "", password or "") for name, (login, _, password) in hosts.items()}
        except netrc.NetrcParseError as error:
            problem = f"is not valid in line {error.lineno}"
        except UnicodeDecodeError:
            problem = "is not text in UTF-8"
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        # Out here, so that no traceback has the other error as its context: its text may be a part of a password.
        raise self._problem(auth, problem, "the format of netrc")


def _of_keyring(auth: HostAuth) -> tuple[str, str]:
    """Return what the keyring holds for a host, as pip and twine ask: the host as URLs write it is the service."""
    _check_origin(auth)
    try:
        import keyring

        if auth.user:
            login = auth.user, keyring.get_password(auth.authority, auth.user)
        else:
            credential = keyring.get_credential(auth.authority, None)
            login = (credential.username, credential.password) if credential else ("", None)
    except Exception as error:  # a backend raises what it likes, and its text may be anything
        problem = type(error).__name__
    else:
        return _present(auth, *login)
    raise PolicyError(
        f"network_auth: {auth}: the keyring cannot be read ({visible(problem, limit=100)}); expected that "
        f"'keyring get {auth.authority} {auth.user or 'USER'}' prints the password: unlock or configure it"
    )


def _present(auth: HostAuth, user: str, password: str | None) -> tuple[str, str]:
    if password is None:
        raise PolicyError(
            f"network_auth: {auth}: the keyring has no such entry (expected the service {auth.authority}): run "
            f"'keyring set {auth.authority} {auth.user or 'USER'}'"
            + ("" if auth.user else f", or name the user, as {auth}:USER")
        )
    return user, password


def _check_origin(auth: HostAuth) -> None:
    """Check that there is a library ``keyring``, and that no hook can have written it."""
    try:
        spec = importlib.util.find_spec("keyring")
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        raise PolicyError(
            f"network_auth: {auth}: the library keyring is not installed beside isolated-hooks (expected it for "
            "HOST:PORT=keyring): pip install 'isolated-hooks[keyring]', or use netrc"
        )
    if recorded_trees().steer(absolute(spec.origin)):
        raise PolicyError(
            f"network_auth: {auth}: the library keyring lies at {visible(spec.origin, limit=300)!r}, where hooks may "
            "write (expected it beside isolated-hooks): take that directory out of PYTHONPATH"
        )
    # The library imports others, by their names alone.
    steered = [entry for entry in sys.path if recorded_trees().steer(absolute(entry))]
    if steered:
        raise PolicyError(
            f"network_auth: {auth}: Python would search {visible(absolute(steered[0]), limit=300)!r}, where "
            "hooks may write, for what the library keyring imports (expected directories of no source tree): take that "
            "directory out of PYTHONPATH, or start the frontend in another one"
        )
