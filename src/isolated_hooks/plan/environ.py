"""The environment filter decides which variables a hook sees and which values it adapts to the sandbox.

A variable is *ambient* if its value equals the one in the frontend's own ``os.environ`` at the time of the call. The
filter keeps an ambient variable only if a table or the policy names it. Any other variable was *injected* by the
frontend or by its runner, and the filter keeps it. This module decides what to drop. The child applies the decision,
because only the child sees the merged environment.

For each ambient variable, the first of these rules that applies decides:

1. The filter adapts the variable, or the variable has no meaning inside: replaced or removed, even if the frontend
   injected it or ``env_keep`` names it.
2. ``env_remove`` names it: dropped. The child removes it too if the frontend injected it.
3. The runner call itself passed it in ``extra_environ``: kept, under any name.
4. ``env_keep`` names it: kept.
5. ``env_delete`` names it: dropped, even if the frontend injected it.
6. It is ``PATH`` or ``LD_LIBRARY_PATH``: kept, see below.
7. Its name looks like a credential, or its value contains something that does, see ``credentials.py``: dropped.
8. It is structural (``STRUCTURAL``), and the frontend has changed it since its start, as pip does: kept.
9. It is in ``NEVER``: dropped.
10. It is in one of the other tables, or names a visible directory of a package as CMake has it: kept. Anything else:
    dropped.

The child filters ``PATH`` and ``LD_LIBRARY_PATH`` entry by entry, even if the frontend set them. It keeps the
directories that are visible inside and not writable there. ``LD_LIBRARY_PATH`` is kept because compilers under /opt and
relocated interpreters do not start without it, and because the interpreter that sets up the sandbox starts with it
anyway.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from ..frozen import dataclass
from ..policy import Policy
from ..sandbox.environ import digest, matches
from . import wayout
from .credentials import holds_credentials
from .environtables import (
    ALWAYS_KEEP,
    BUILD_VARIABLES,
    CERTIFICATE_VARIABLES,
    ENVIRONMENTS,
    NETWORK_VARIABLES,
    NEVER,
    PATH_LISTS,
    REMOVED,
    SECRET_PARTS,
    SECRET_WORDS,
    STRUCTURAL,
)
from .projectvariables import PROJECT_VARIABLES, names_package

__all__ = ["Decision", "EnvironRules", "looks_secret", "plan_environ"]

_DROP_REASONS = frozenset(("deleted", "secret name", "secret value", "never", "unlisted"))
# Why we decide about a variable that one of the tables lists; the first one counts.
_TABLES = {"never": NEVER, "built-in": ALWAYS_KEEP, "build": (*BUILD_VARIABLES, *PROJECT_VARIABLES)}
_NOT_A_WORD = re.compile(r"[^A-Z0-9]+")


def looks_secret(name: str) -> bool:
    """Return whether a variable's name suggests that its value is a credential."""
    upper = name.upper()
    return any(part in upper for part in SECRET_PARTS) or not SECRET_WORDS.isdisjoint(_NOT_A_WORD.split(upper))


@dataclass(frozen=True)
class Decision:
    """The decision about an ambient variable.

    :ivar keep: the hook sees the variable with its ambient value
    :ivar reason: the reason, in a word or two
    """

    keep: bool
    reason: str


@dataclass(frozen=True)
class EnvironRules:
    """The rules for the environment of one hook call.

    :ivar decisions: the decision about each ambient variable, by name
    :ivar set: values adapted to the sandbox, by name; they replace any other value
    :ivar defaults: values for variables that the frontend has not set, by name
    :ivar removed: the names of variables that the child removes even if the frontend injected
        them, as ``NAME`` or ``PREFIX*``
    :ivar overridden: the names that the runner call passed and that the child nevertheless replaces or removes, sorted
    """

    decisions: Mapping[str, Decision]
    set: Mapping[str, str]
    defaults: Mapping[str, str]
    removed: tuple[str, ...]
    overridden: tuple[str, ...]
    _passed: tuple[str, ...] = dataclasses.field(repr=False)
    _keep: tuple[str, ...] = dataclasses.field(repr=False)
    _delete: tuple[str, ...] = dataclasses.field(repr=False)
    # Ambient values must never get into a repr, a report or a file.
    _ambient: Mapping[str, str] = dataclasses.field(repr=False)

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of the ambient variables that the hook does not see, sorted, without replaced and removed ones."""
        return tuple(sorted(name for name, decision in self.decisions.items() if decision.reason in _DROP_REASONS))

    def visible(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that the hook gets with the caller's values, and those that the runner call passes.

        :param extra: ``extra_environ`` of the runner call
        """
        kept = {name: self._ambient[name] for name, decision in self.decisions.items() if decision.keep}
        passed = {n: v for n, v in extra.items() if n not in self.set and not (n in self.decisions and n not in kept)}
        return {**kept, **passed}

    def named(self) -> dict[str, str]:
        """Return the variables that the hook gets because they concern building, and the search path of libraries."""
        names = (n for n, d in self.decisions.items() if d.keep and (d.reason == "build" or n == "LD_LIBRARY_PATH"))
        return {name: self._ambient[name] for name in names}

    def to_dict(self) -> dict[str, object]:
        """Return the rules for reports: names, reasons and the values that we set, but no ambient value."""
        kept = {name: decision.reason for name, decision in sorted(self.decisions.items()) if decision.keep}
        return {
            "kept": kept,
            "dropped": {name: self.decisions[name].reason for name in self.dropped},
            "set": dict(sorted(self.set.items())),
            "defaults": dict(sorted(self.defaults.items())),
            "removed": list(self.removed),
            "overridden": list(self.overridden),
        }

    def for_child(
        self, key: bytes, *, path_roots: Iterable[bytes] = (), path_refused: Iterable[bytes] = ()
    ) -> dict[str, object]:
        """Return the rules for :func:`isolated_hooks.sandbox.environ.apply`, as objects that marshal can write.

        :param key: 16 to 64 random bytes, new for each call
        :param path_roots: the directories that are visible and read-only inside
        :param path_refused: the source tree and the directories that the hook can write to; if two directories cover an
            entry of ``PATH``, the deeper one decides
        :raises ValueError: the key is too short or too long
        """
        if not 16 <= len(key) <= 64:
            raise ValueError(f"the key has the wrong length (expected 16 to 64 bytes, got {len(key)})")
        return {
            "key": key,
            "dropped": {os.fsencode(name): digest(key, os.fsencode(self._ambient[name])) for name in self.dropped},
            "passed": _encoded(self._passed),
            "keep": _encoded(self._keep),
            "delete": _lowered(self._delete),
            "remove": _encoded(self.removed),
            "defaults": _encoded_items(self.defaults),
            "set": _encoded_items(self.set),
            "path_lists": _encoded(PATH_LISTS),
            "path_roots": list(path_roots),
            "path_refused": list(path_refused),
        }


def plan_environ(
    ambient: Mapping[str, str],
    started_with: Mapping[str, str],
    extra: Mapping[str, str] | None,
    policy: Policy,
    *,
    home: str,
    tmpdir: str,
    user: str,
    tools: Mapping[str, str] = MappingProxyType({}),
    defaults: Mapping[str, str] = MappingProxyType({}),
    git: Mapping[str, str] = MappingProxyType({}),
    shows: Callable[[str], bool] = lambda _: False,
) -> EnvironRules:
    """Decide the rules for the environment of one hook call.

    :param ambient: the frontend's ``os.environ`` at the time of the call
    :param started_with: the environment with which the frontend's process started
    :param extra: ``extra_environ`` of the runner call
    :param home: the hook's home directory, as seen inside
    :param tmpdir: the hook's directory for temporary files, as seen inside
    :param user: the hook's user name
    :param defaults: variables for a hook whose frontend sets no others, with what the caller's say that is visible
    :param tools: the variables by which programs on ``PATH`` find what they need beyond their directory
    :param git: the variables that configure git
    :param shows: tells whether a path is visible inside
    """
    extra = extra or {}
    # A runner call that passes all of os.environ does not choose any variable, so rule 3 does not apply to it.
    copied = bool(ambient) and ambient.keys() <= extra.keys()
    fitted = {**_fitted(policy, home, tmpdir, user), **tools, **git}
    removed = (*REMOVED, *(wayout.REMOVED if policy.hosts else ()), *policy.env_remove)
    network = NETWORK_VARIABLES if policy.whole_network else CERTIFICATE_VARIABLES if policy.hosts else ()
    keep, delete = _encoded(policy.env_keep), _lowered(policy.env_delete)

    def decide(name: str, value: str) -> Decision:
        if name in fitted or _listed(name, removed):
            return Decision(False, "replaced" if name in fitted else _removal(name, policy))
        if not copied and extra.get(name) == value:
            return Decision(True, "passed")
        if matches(os.fsencode(name), keep):
            return Decision(True, "env_keep")
        if matches(os.fsencode(name).lower(), delete):
            return Decision(False, "deleted")
        return _built_in(name, value, changed=started_with.get(name) != value, network=network, shows=shows)

    return EnvironRules(
        decisions=MappingProxyType({name: decide(name, value) for name, value in ambient.items()}),
        set=MappingProxyType(fitted),
        defaults=MappingProxyType(_defaults(policy, {**wayout.indexes(policy.auths, ambient), **defaults})),
        removed=removed,
        overridden=tuple(sorted(n for n, v in extra.items() if _listed(n, removed) or fitted.get(n, v) != v)),
        _passed=tuple(sorted(extra)),
        _keep=policy.env_keep,
        _delete=policy.env_delete,
        _ambient=MappingProxyType(dict(ambient)),
    )


def _removal(name: str, policy: Policy) -> str:
    return "deleted" if name in policy.env_remove else "removed"


def _built_in(
    name: str, value: str, *, changed: bool, network: tuple[str, ...], shows: Callable[[str], bool]
) -> Decision:
    """Decide about an ambient variable that the policy does not name."""
    # This comes first, because an entry such as /opt/python@3.12 must not look like a URL with a user name.
    if name in PATH_LISTS:
        return Decision(True, "path")
    if looks_secret(name):
        return Decision(False, "secret name")
    if holds_credentials(value):
        return Decision(False, "secret value")
    if changed and name in STRUCTURAL:
        return Decision(True, "frontend")
    if name in ENVIRONMENTS and shows(f"{value}/bin"):
        return Decision(True, "build")
    tables = {**_TABLES, "network": network}
    listed = next((reason for reason, table in tables.items() if _listed(name, table)), None)
    reason = listed or ("build" if names_package(name, value, shows=shows) else "unlisted")
    return Decision(reason not in _DROP_REASONS, reason)


def _fitted(policy: Policy, home: str, tmpdir: str, user: str) -> dict[str, str]:
    """Return the variables that we always adapt to the sandbox, over any other value."""
    fitted = {
        "HOME": home,
        "TMPDIR": tmpdir,
        "TEMP": tmpdir,
        "TMP": tmpdir,
        "USER": user,
        "LOGNAME": user,
        "XDG_CACHE_HOME": f"{home}/.cache",
        "XDG_CONFIG_HOME": f"{home}/.config",
        "XDG_DATA_HOME": f"{home}/.local/share",
        "XDG_STATE_HOME": f"{home}/.local/state",
        "CARGO_HOME": f"{home}/.cargo",
    }
    if policy.hosts:
        fitted |= wayout.variables(policy.hosts)
    elif not policy.whole_network:
        fitted["CARGO_NET_OFFLINE"] = "true"
    return fitted


def _defaults(policy: Policy, more: Mapping[str, str]) -> dict[str, str]:
    deleted = _lowered(policy.env_delete)
    kept = {
        n: v for n, v in more.items() if n not in policy.env_remove and not matches(os.fsencode(n).lower(), deleted)
    }
    if policy.whole_network:
        return kept
    if policy.hosts:
        return {"PIP_DISABLE_PIP_VERSION_CHECK": "1", **wayout.defaults(policy.hosts), **kept}
    # A nested pip cannot succeed without the network, so let it fail at once. We do not set PIP_NO_INDEX, which would
    # also forbid an index in a local directory.
    return {"PIP_RETRIES": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **kept}


def _listed(name: str, table: tuple[str, ...]) -> bool:
    names, prefixes = _split(table)
    return name in names or name.startswith(prefixes)


@functools.lru_cache(maxsize=16)
def _split(table: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the names of a table, and the prefixes without their asterisks."""
    names = frozenset(entry for entry in table if not entry.endswith("*"))
    return names, tuple(entry[:-1] for entry in table if entry.endswith("*"))


def _encoded(names: Sequence[str]) -> list[bytes]:
    return [os.fsencode(name) for name in names]


def _lowered(patterns: Sequence[str]) -> list[bytes]:
    # We lower bytes, so that the parent and the child, which has no locale, agree: only A to Z have a lower case.
    return [os.fsencode(pattern).lower() for pattern in patterns]


def _encoded_items(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
