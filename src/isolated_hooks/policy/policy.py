"""What the operator allows."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ..protections import ROWS, Protection, ProtectionState
from . import checks
from .keys import DEFAULT_REQUIRE, HOOKS, KEYS
from .limits import Limits, limit_values

__all__ = ["Policy", "Source", "policy_values"]

Source = Literal["read-write", "read-only"]
_NO_OTHER_LIMITS = Limits()


@dataclasses.dataclass(frozen=True, init=False)
class Policy:
    """What a hook may see, write, reach and use, and what must hold before it is run.

    :ivar hooks: the hooks that are sandboxed; by default all
    :ivar network: whether the host's network can be reached
    :ivar source: whether the hook may write to the source tree
    :ivar expose: further paths that can be read
    :ivar writable: further paths that can be read and written
    :ivar hide: paths to take out of the view again; it has the last word
    :ivar env_keep: ambient variables to keep, as ``NAME`` or ``PREFIX_*``, case-sensitive, looked at before env_delete
    :ivar env_delete: variables to drop, in any case; ``*`` alone drops whatever env_keep does not name
    :ivar env_remove: variables to take out, as ``NAME``, whoever set them and whatever env_keep says
    :ivar limits: what one hook call may use
    :ivar require: the protections that must be active: whatever is given is *added* to :data:`DEFAULT_REQUIRE`,
        because naming one more must not quietly give up another
    :ivar allow_degraded: the protections that may be weaker or missing; this relaxes ``require``, its defaults and
        what is named there, since it is the more particular word of the two
    :ivar allow_url_requirements: whether a hook may ask for a build requirement by URL
    :ivar allow_other_names: whether what a hook returns may be named after another project than pyproject.toml says
    :ivar deep_check: whether wheels and sdists are looked into before they are handed over
    :ivar launcher: the name of what sets the sandbox up: ``native``, ``bubblewrap``, or one that another distribution
        brings; whether there is one of that name is found out when it is needed

    Paths are absolute; they are normalised as text (so ``a/..`` goes) and links in them stay as they are.

    :raises PolicyError: names the key, what was given and what is accepted
    """

    hooks: frozenset[str]
    network: bool
    source: Source
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

    # Not the generated one: callers may pass lists, paths and names, readers get exactly one type.
    def __init__(
        self,
        *,
        hooks: Iterable[str] = HOOKS,
        network: bool = False,
        source: Source = "read-write",
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
    ) -> None:
        arguments = dict(locals())
        for name, key in KEYS.items():
            object.__setattr__(self, name, key.check(f"policy: {name}", arguments[name]))

    def permits(self, protection: Protection, state: ProtectionState) -> bool:
        """Return whether a hook may be run with ``protection`` in ``state``.

        Of processes and identity at least a weaker form is needed, hostname and keyring are taken where the host
        gives them. Only the network can be disabled, and only by ``network``.
        """
        if state is ProtectionState.ACTIVE or protection in self.allow_degraded:
            return True
        if state is ProtectionState.DISABLED:
            return protection is Protection.NETWORK and self.network
        if protection in self.require:
            return False
        return state is ProtectionState.DEGRADED or ROWS[protection].needed is None

    def to_dict(self) -> dict[str, object]:
        """Return the policy as JSON can hold it; sets become sorted lists, paths and patterns keep their order."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def policy_values(mapping: Mapping[str, object], where: str) -> dict[str, Any]:
    """Return the checked keyword arguments of a table; its limits stay a mapping, so that they can be merged."""
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
