"""Which lines of a policy may be tried for what a hook was denied, and which only an operator can allow.

Pure. ``learn`` runs code that nobody trusts under each line that it tries. So it tries by itself only what that code
can do nothing with but build: it may read a path outside of the home that is no secret place, keep a variable that does
not look like a credential, and use more of a limit. Everything else takes a flag for exactly that.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..files.paths import is_within
from ..frozen import dataclass
from ..policy import Policy
from ..policy.limits import parse_limit
from .hints import Cause, Hint

__all__ = ["Allowances", "Judge", "Line", "policy_with"]


@dataclass(frozen=True)
class Allowances:
    """What the operator's flags allow to try.

    :ivar network: the whole network
    :ivar hosts: hosts, as ``HOST:PORT``
    :ivar home: paths in the home, with everything beneath them
    :ivar write: paths that hooks may write to, with everything beneath them
    :ivar credentials: paths of credentials and names of variables
    """

    network: bool = False
    hosts: tuple[str, ...] = ()
    home: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One value of a key of the policy.

    :ivar key: the key, as in a policy file
    :ivar value: the value, or ``true``
    :ivar why: who asked for it, and what for
    :ivar flag: the flag of ``learn`` without which it is not tried; empty if it needs none
    """

    key: str
    value: str
    why: str = dataclasses.field(default="", compare=False)
    flag: str = dataclasses.field(default="", compare=False)

    @property
    def place(self) -> tuple[str, str]:
        """What two lines share if the later one replaces the earlier: the key, and the name of a limit or the value."""
        return self.key, self.value.partition("=")[0] if self.key == "limits" else self.value


_KEYS: Mapping[Cause, str] = {
    Cause.READ: "expose",
    Cause.HEADER: "expose",
    Cause.PROGRAM: "expose",
    Cause.REPOSITORY: "expose",
    Cause.PRIVATE: "expose",
    Cause.WIDE: "expose",
    Cause.WRITE: "writable",
    Cause.VARIABLE: "env-keep",
    Cause.SECRET: "env-keep",
    Cause.LIMIT: "limits",
    Cause.FULL: "limits",
    Cause.SAID_FULL: "limits",
    Cause.SAID_MEMORY: "limits",
    Cause.HOST: "network",
    Cause.LOOKUP: "network",
    Cause.OFFLINE: "network",
    Cause.CONNECTION: "network",
    Cause.DIRECT: "network",
}


@dataclass(frozen=True)
class Judge:
    """Decides about candidates.

    :ivar home: the caller's home directory
    :ivar allowed: what the flags allow
    :ivar exists: whether a path exists; it is asked only about a secret place that a flag allows
    """

    home: str
    allowed: Allowances
    exists: Callable[[str], bool]

    def line(self, hook: str, hint: Hint) -> Line | None:
        """Return the line for what a hook was denied, or ``None`` if none would help. One to refuse has a flag."""
        cause = Cause(hint.cause)
        key = _KEYS.get(cause)
        # An escaped value is not the value, and an operator can write a name with such characters better than we.
        if key is None or "\\" in hint.value or "…" in hint.value:
            return None
        why = f"{hint.program or 'a program'}, {hook}: {hint.sentence}"
        if key == "network":
            return self._network(hint.value, why)
        if not hint.value:
            return None
        flag = self._flag(cause, hint.value)
        if cause is Cause.PRIVATE and not flag and not self.exists(hint.value):
            return None
        return Line(key, hint.value, why, flag)

    def _network(self, value: str, why: str) -> Line:
        if value and value in self.allowed.hosts:
            return Line("network", value, why)
        if self.allowed.network:
            return Line("network", "true", why)
        return Line("network", value or "true", why, _flagged("--allow-host", value) if value else "--allow-network")

    def _flag(self, cause: Cause, value: str) -> str:
        allowed = self.allowed
        if cause in (Cause.PRIVATE, Cause.SECRET):
            return "" if _beneath(value, allowed.credentials) else _flagged("--allow-credentials", value)
        if cause is Cause.WRITE:
            return "" if _beneath(value, allowed.write) else _flagged("--allow-write", value)
        in_home = is_within(value, self.home)
        if cause is Cause.WIDE and not in_home:
            return _flagged("--expose", value)
        # The caller's own PATH names a program. Everything else in the home is the caller's private matter.
        if in_home and cause in (Cause.READ, Cause.HEADER, Cause.REPOSITORY, Cause.WIDE):
            return "" if _beneath(value, allowed.home) else _flagged("--allow-home", value)
        return ""


def _flagged(flag: str, value: str) -> str:
    return f"{flag} {shlex.quote(value)}"


def _beneath(value: str, tops: Iterable[str]) -> bool:
    return any(value == top or (top.startswith("/") and is_within(value, top)) for top in tops)


def policy_with(policy: Policy, lines: Iterable[Line]) -> Policy:
    """Return the policy with some lines added."""
    values: dict[str, list[str]] = {}
    for line in lines:
        values.setdefault(line.key, []).append(line.value)
    changes: dict[str, Any] = {}
    for name in ("expose", "writable", "env-keep"):
        if name in values:
            field = name.replace("-", "_")
            changes[field] = (*getattr(policy, field), *values[name])
    if "limits" in values:
        limits: dict[str, Any] = {}
        for text in values["limits"]:
            limits |= parse_limit(text)
        changes["limits"] = dataclasses.replace(policy.limits, **limits)
    if "network" in values:
        hosts = () if isinstance(policy.network, bool) else policy.network
        changes["network"] = "true" in values["network"] or (*hosts, *values["network"])
        if changes["network"] is True:
            changes["network_auth"] = ()  # there is no proxy then
    return dataclasses.replace(policy, **changes) if changes else policy


def toml_value(line: Line) -> str:
    """Return the value of a line alone as TOML spells it."""
    if line.key == "limits":
        name, _, amount = line.value.partition("=")
        return f"{name} = {amount if amount.isdigit() else json.dumps(amount)}"
    if line.key == "network" and line.value == "true":
        return "true"
    return json.dumps(line.value, ensure_ascii=False)
