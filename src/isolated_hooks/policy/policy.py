"""The policy: everything that the operator allows hooks to do."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ..frozen import dataclass
from ..protections import ROWS, Protection, ProtectionState
from . import checks
from .hostauth import HostAuth, check_named, parse_auth
from .hosts import Host, parse_host
from .keys import DEFAULT_REQUIRE, HOOKS, KEYS
from .limits import Limits, limit_values

__all__ = ["Policy", "Source", "policy_values"]

Source = Literal["read-write", "read-only", "discard"]
Repository = Literal["show", "hide"]
_NO_OTHER_LIMITS = Limits()


@dataclass(frozen=True, init=False)
class Policy:
    """What a hook may see, write, reach and use, and which protections have to hold before it runs.

    :ivar hooks: the hooks that run in a sandbox; by default all
    :ivar network: ``True`` if the hook can use the host's network, ``False`` if it has none, or the hosts that it can
        reach, as ``HOST:PORT``; ask :attr:`whole_network` and :attr:`hosts`
    :ivar network_auth: where the proxy gets credentials for some of these hosts, as ``HOST:PORT=netrc`` or
        ``HOST:PORT=keyring:USER``; ask :attr:`auths`
    :ivar source: ``"read-write"`` if the hook may write to the source tree, ``"read-only"`` if not, ``"discard"`` if it
        may write to a view of the tree that is thrown away
    :ivar repository: ``"show"`` if the hook may read the repository of git that the source tree is a part of, otherwise
        ``"hide"``
    :ivar expose: further paths that the hook can read
    :ivar writable: further paths that the hook can read and write
    :ivar hide: paths that the hook cannot see; it wins over every other key
    :ivar env_keep: variables of the frontend's environment to keep, as ``NAME`` or ``PREFIX_*``; case matters, and it
        wins over ``env_delete``
    :ivar env_delete: variables to drop, in any case; ``*`` alone drops all that ``env_keep`` does not name
    :ivar env_remove: variables to drop, as ``NAME``, even if the frontend sets them or ``env_keep`` names them
    :ivar limits: the resources that one hook call may use
    :ivar require: the protections that have to be active; the constructor *adds* them to :data:`DEFAULT_REQUIRE`,
        because naming one more must not quietly give up another
    :ivar allow_degraded: the protections that may be weaker or missing; it wins over ``require`` and its defaults,
        because it is the more specific of the two
    :ivar allow_url_requirements: a hook may ask for a build requirement by URL
    :ivar allow_other_names: a hook may return results for a project other than the one in ``pyproject.toml``
    :ivar deep_check: wheels and sdists are inspected before the frontend gets them
    :ivar launcher: the name of the launcher that sets up the sandbox: ``native``, ``bubblewrap``, or one from another
        distribution; only a hook call finds out whether it is installed
    :ivar warm: the launcher may be a fork of a process that stays ready, where that is equal to a new one

    Every path is absolute. We normalise paths as text, which removes ``a/..``, and do not resolve links in them.

    :raises PolicyError: a value is wrong; the text names the key, the expected value and the actual value
    """

    hooks: frozenset[str]
    network: bool | tuple[str, ...]
    network_auth: tuple[str, ...]
    source: Source
    repository: Repository
    expose: tuple[str, ...]
    writable: tuple[str, ...]
    hide: tuple[str, ...]
    env_keep: tuple[str, ...]
    env_delete: tuple[str, ...]
    env_remove: tuple[str, ...]
    limits: Limits
    require: frozenset[Protection]
    allow_degraded: frozenset[Protection]
    allow_url_requirements: bool
    allow_other_names: bool
    deep_check: bool
    launcher: str
    warm: bool

    # We write the constructor ourselves: callers may pass lists, paths and names, but readers get exactly one type.
    def __init__(
        self,
        *,
        hooks: Iterable[str] = HOOKS,
        network: bool | Iterable[str] = False,
        network_auth: Iterable[str] = (),
        source: Source = "read-write",
        repository: Repository = "show",
        expose: Iterable[str | os.PathLike[str]] = (),
        writable: Iterable[str | os.PathLike[str]] = (),
        hide: Iterable[str | os.PathLike[str]] = (),
        env_keep: Iterable[str] = (),
        env_delete: Iterable[str] = (),
        env_remove: Iterable[str] = (),
        limits: Limits | Mapping[str, object] = _NO_OTHER_LIMITS,
        require: Iterable[Protection | str] = DEFAULT_REQUIRE,
        allow_degraded: Iterable[Protection | str] = (),
        allow_url_requirements: bool = False,
        allow_other_names: bool = False,
        deep_check: bool = False,
        launcher: str = "native",
        warm: bool = True,
    ) -> None:
        arguments = dict(locals())
        for name, key in KEYS.items():
            object.__setattr__(self, name, key.check(f"policy: {name}", arguments[name]))
        if self.network_auth:
            check_named("policy: network_auth", self.auths, self.hosts)

    @property
    def whole_network(self) -> bool:
        """Whether the hook can use the host's network."""
        return self.network is True

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The hosts that the hook can reach, if it has no other network than these."""
        entries = () if isinstance(self.network, bool) else self.network
        return tuple(parse_host("network", entry) for entry in entries)

    @property
    def auths(self) -> tuple[HostAuth, ...]:
        """Where the credentials for hosts come from that the proxy adds."""
        return tuple(parse_auth("network_auth", entry) for entry in self.network_auth)

    def without_network(self) -> Policy:
        """Return the same policy for a hook that reaches nothing."""
        return dataclasses.replace(self, network=False, network_auth=())

    def permits(self, protection: Protection, state: ProtectionState) -> bool:
        """Return whether a hook may run with ``protection`` in ``state``.

        By default, processes and identity may be degraded but not missing, and hostname and keyring may be missing.
        Only the network can be disabled, and only by ``network``.
        """
        if state is ProtectionState.ACTIVE or protection in self.allow_degraded:
            return True
        if state is ProtectionState.DISABLED:
            return protection is Protection.NETWORK and self.whole_network
        if protection in self.require:
            return False
        return state is ProtectionState.DEGRADED or ROWS[protection].needed is None

    def to_dict(self) -> dict[str, object]:
        """Return the policy as JSON values. Sets become sorted lists; paths and patterns keep their order."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def policy_values(mapping: Mapping[str, object], where: str) -> dict[str, Any]:
    """Return a checked table as arguments of :class:`Policy`. Its limits stay a mapping, so the caller can merge them.

    :param where: the table; an error text begins with it
    :raises PolicyError: a key or a value is wrong
    """
    values: dict[str, Any] = {}
    for name, (key, value) in checks.named(mapping, KEYS, where, checks.hyphened).items():
        if name == "limits" and not isinstance(value, Limits):
            values[name] = limit_values(f"{where}: limits", value, checks.hyphened)
        else:
            values[name] = KEYS[name].check(f"{where}: {key}", value)
    return values


def _plain(value: object) -> object:
    if isinstance(value, Limits):
        return dataclasses.asdict(value)
    if isinstance(value, frozenset):
        return sorted(item.value if isinstance(item, Protection) else item for item in value)
    return list(value) if isinstance(value, tuple) else value
