"""A policy as a statement has it, and the comparison of two of them.

The keys are those of a policy file. No value of a variable and no user name stands there, and paths are spelled by
:class:`.spelling.Spelling`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import PolicyError
from ..files.paths import is_within
from ..policy import Policy
from ..policy.checks import hyphened
from ..policy.hostauth import KEYRING
from ..policy.keys import KEYS
from ..policy.limits import LIMITS
from ..text import visible
from .spelling import Spelling, is_exact

__all__ = ["check_stated", "stated_policy", "weaknesses"]

Values = Mapping[str, Any]
_SOURCES = ("read-only", "discard", "read-write")  # the strictest first
_PATHS = frozenset(hyphened(name) for name, key in KEYS.items() if key.paths)


def stated_policy(policy: Policy, spelling: Spelling) -> dict[str, Any]:
    """Return a policy as JSON values without floats."""
    values: dict[str, Any] = {hyphened(name): value for name, value in policy.to_dict().items()}
    for name in _PATHS:
        values[name] = spelling.paths(values[name])
    values["network-auth"] = [_without_user(entry) for entry in values["network-auth"]]
    values["limits"] = {hyphened(name): _number(value) for name, value in values["limits"].items()}
    return values


def _without_user(entry: str) -> str:
    place, _, source = entry.partition("=")
    return f"{place}={KEYRING}" if source.startswith(KEYRING) else entry


def _number(value: float | None) -> int | str | None:
    """Return a limit. The parser of statements takes no float."""
    return value if value is None or isinstance(value, int) else int(value) if value.is_integer() else repr(value)


def check_stated(values: object) -> dict[str, Any]:
    """Return the policy of a statement that somebody else may have written, as :func:`stated_policy` makes them.

    :raises PolicyError: it has another form; the text says which key
    """
    names = {hyphened(name): name for name in KEYS}
    if not isinstance(values, dict) or {*values} != {*names}:
        keys: set[str] = {*values} if isinstance(values, dict) else set()
        wrong = sorted(keys ^ {*names})
        named = f" ({visible(wrong[0], limit=100)!r} is unknown or missing)" if keys and wrong else ""
        raise PolicyError(f"the stated policy does not have the keys that this version knows{named}")
    for name in _PATHS:
        _check_texts(name, values[name], "paths")
    plain = {names[name]: value for name, value in values.items() if name not in _PATHS}
    plain["limits"] = _limits(values["limits"])
    # A pair of a credential and its host is the business of the policy that was in force.
    auths = plain.pop("network_auth")
    _check_texts("network-auth", auths, "texts")
    stated = stated_policy(Policy(**plain), Spelling())
    for name in {*values} - _PATHS - {"network-auth"}:
        # The constructor adds what a policy always requires, so a list without it is no policy.
        if stated[name] != values[name] and _sorted(stated[name]) != _sorted(values[name]):
            raise PolicyError(f"the stated policy: {name}: not in its normal form")
    return values


def _check_texts(name: str, values: object, kind: str) -> None:
    # An empty path would be above each absolute one.
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise PolicyError(f"the stated policy: {name}: expected a list of {kind}, none of them empty")


def _limits(values: object) -> dict[str, Any]:
    names = {hyphened(name): name for name in LIMITS}
    if not isinstance(values, dict) or {*values} != {*names}:
        raise PolicyError("the stated policy: limits: expected each limit that this version knows")
    return {names[name]: _parsed(value) for name, value in values.items()}


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        raise PolicyError(f"the stated policy: limits: {visible(value, limit=100)!r} is no number") from None


def _sorted(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, list) else value


def weaknesses(stated: Values, given: Values) -> Iterator[str]:
    """Yield a sentence for each key of a stated policy that allows more than a given one.

    :param stated: checked by :func:`check_stated`
    :param given: as :func:`stated_policy` returns it
    """
    for name, rule in RULES.items():
        extra = rule(stated[name], given[name])
        if extra:
            yield f"{name} allows more than the given policy ({visible(extra, limit=500)})"


def _subset(stated: list[str], given: list[str]) -> str:
    return _expected(sorted({*stated} - {*given}))


def _superset(stated: list[str], given: list[str]) -> str:
    missing = ", ".join(sorted({*given} - {*stated}))
    return f"without {missing}" if missing else ""


def _expected(extra: Sequence[str]) -> str:
    return f"it has {', '.join(extra)}" if extra else ""


def _network(stated: bool | list[str], given: bool | list[str]) -> str:
    if given is True or stated is False or stated == []:
        return ""
    if stated is True:
        return "the whole network"
    return _subset(stated, given or [])


def _within(stated: list[str], given: list[str]) -> str:
    """A path that is given covers what is beneath it."""
    return _expected([path for path in stated if not any(_is_beneath(path, other) for other in given)])


def _hidden(stated: list[str], given: list[str]) -> str:
    missing = [path for path in given if not any(_is_beneath(path, other) for other in stated)]
    return f"without {', '.join(missing)}" if missing else ""


def _is_beneath(path: str, other: str) -> bool:
    if not is_exact(path) or not is_exact(other):
        return False
    return path == other or (".." not in path.split("/") and is_within(path, other))


def _kept(stated: list[str], given: list[str]) -> str:
    return _expected([p for p in stated if not any(_covers(other, p) for other in given)])


def _deleted(stated: list[str], given: list[str]) -> str:
    missing = [p for p in given if not any(_covers(other.upper(), p.upper()) for other in stated)]
    return f"without {', '.join(missing)}" if missing else ""


def _covers(pattern: str, other: str) -> bool:
    return pattern == other or (pattern.endswith("*") and other.startswith(pattern[:-1]))


def _limit_values(stated: Values, given: Values) -> str:
    return ", ".join(
        f"{name} = {'none' if stated[name] is None else stated[name]}"
        for name in map(hyphened, LIMITS)
        if _weight(name, stated[name]) > _weight(name, given[name])
    )


def _weight(name: str, value: object) -> float:
    """Return a number that is larger the more a limit allows."""
    if value is None:
        return math.inf
    number = float(str(value))
    return -number if name == "free-space" else number  # what has to stay free


def _source(stated: str, given: str) -> str:
    return f"it is {stated}" if _SOURCES.index(stated) > _SOURCES.index(given) else ""


def _only(strict: object) -> Callable[[Any, Any], str]:
    """Return the rule of a key that has a strict value and another one."""
    return lambda stated, given: "" if stated in (strict, given) else f"it is {str(stated).lower()}"


def _same(stated: str, given: str) -> str:
    return "" if stated == given else f"it is {stated}"


def _any(_stated: object, _given: object) -> str:
    return ""


#: The rule of each key: takes the stated value and the given one, and returns what the stated one allows in addition.
RULES: Mapping[str, Callable[[Any, Any], str]] = {
    "hooks": _superset,
    "network": _network,
    "network-auth": _subset,
    "source": _source,
    "repository": _only("hide"),
    "expose": _within,
    "writable": _within,
    "hide": _hidden,
    "env-keep": _kept,
    "env-delete": _deleted,
    "env-remove": _superset,
    "require": _superset,
    "allow-degraded": _subset,
    "allow-url-requirements": _only(False),
    "allow-other-names": _only(False),
    "launcher": _same,
    "warm": _any,  # the sandbox is the same
    "deep-check": _only(True),
    "limits": _limit_values,
}
