"""The checks behind a policy: each takes a label and a value, and returns the value in its one form.

The label begins the error's text, so that the same check can speak of a Python argument, or of a file and a key.
"""

from __future__ import annotations

import difflib
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from ..errors import PolicyError
from ..protections import ROWS, Protection
from ..text import visible

__all__ = [
    "Check",
    "choice",
    "choices",
    "count",
    "flag",
    "hyphened",
    "keep_patterns",
    "mapping",
    "named",
    "names",
    "nearest",
    "optional",
    "parse_size",
    "paths",
    "patterns",
    "protections",
    "seconds",
    "size",
    "whole_seconds",
    "wrong",
]

Check = Callable[[str, object], object]
_T = TypeVar("_T")

# Resource limits and tmpfs sizes are signed 64-bit numbers to the kernel; timers of Python overflow well above 2**31.
_MOST = 2**63 - 1
_MOST_SECONDS = 2**31 - 1
_SIZE = re.compile(r"([0-9]{1,19}) ?(?:([KMGT])(iB|B)?|B)?", re.IGNORECASE | re.ASCII)
_PATTERN = re.compile(r"[^\s=*?\[\]\x00]+\*?|\*")


def parse_size(value: str | int, *, label: str = "size") -> int:
    """Return a size in bytes: a positive whole number, or one with a unit, as in ``"500M"`` or ``"2GiB"``.

    As in GNU coreutils, ``K``, ``M``, ``G``, ``T`` and ``KiB`` ... are powers of 1024, ``KB`` ... powers of 1000.

    :param label: what the size is for, to begin the error's text with
    :raises PolicyError: where it is anything else
    """
    accepted = 'a positive size in bytes, as a whole number or as text such as "500M" or "2GiB"'
    if not isinstance(value, str):
        return _whole(label, value, _MOST, accepted)
    match = _SIZE.fullmatch(value.strip(" "))
    if not match:
        raise wrong(label, value, accepted)
    number, unit, suffix = match.groups()
    base = 1000 if (suffix or "").lower() == "b" else 1024
    result = int(number) * (base ** ("kmgt".index(unit.lower()) + 1) if unit else 1)
    if not 0 < result <= _MOST:
        raise wrong(label, value, accepted)
    return result


def wrong(label: str, value: object, accepted: str) -> PolicyError:
    """Return the error that says what was given and what is accepted."""
    return PolicyError(f"{label}: {_shown(value)} was given; accepted: {accepted}")


def nearest(word: object, words: Iterable[str]) -> str | None:
    """Return the one of ``words`` that ``word`` was probably meant to be."""
    matches = difflib.get_close_matches(str(word), list(words), 1)
    return visible(matches[0]) if matches else None


def named(
    table: Mapping[str, object], known: Iterable[str], where: str, spell: Callable[[str], str]
) -> dict[str, tuple[str, object]]:
    """Return attribute name -> (key, value), and refuse every key that is not the spelling of a known attribute."""
    attributes = {spell(name): name for name in known}
    for key in table:
        if key not in attributes:
            raise PolicyError(f"{where}: unknown key {_shown(key)}{_hint(key, attributes)}")
    return {attributes[key]: (key, value) for key, value in table.items()}


def hyphened(name: str) -> str:
    """Return an attribute's name as TOML keys are spelled."""
    return name.replace("_", "-")


def mapping(label: str, value: object) -> Mapping[str, object]:
    """A table."""
    if not isinstance(value, Mapping):
        raise wrong(label, value, "a table")
    return value


def flag(label: str, value: object) -> bool:
    """``True`` or ``False``, and nothing that only counts as such."""
    if not isinstance(value, bool):
        raise wrong(label, value, "true or false")
    return value


def choice(label: str, value: object, words: Iterable[str]) -> str:
    """One of ``words``."""
    if not isinstance(value, str) or value not in words:
        raise wrong(label, value, ", ".join(words) + _hint(value, words))
    return value


def choices(label: str, value: object, words: Iterable[str]) -> frozenset[str]:
    """Any of ``words``."""
    return frozenset(choice(label, item, words) for item in _items(label, value, "names"))


#: One word for several protections: what a host without user namespaces cannot give in full.
GROUPS = {"no-namespaces": frozenset(protection for protection, row in ROWS.items() if row.without_namespaces)}


def protections(label: str, value: object) -> frozenset[Protection]:
    """Protections, or their names."""
    words = [*(protection.value for protection in Protection), *GROUPS]
    chosen: set[Protection] = set()
    for item in _items(label, value, "names of protections"):
        chosen |= {item} if isinstance(item, Protection) else _named(choice(label, item, words))
    return frozenset(chosen)


def _named(word: str) -> frozenset[Protection]:
    return GROUPS[word] if word in GROUPS else frozenset((Protection(word),))


def paths(label: str, value: object) -> tuple[str, ...]:
    """Absolute paths, normalised as text, each once."""
    return tuple(dict.fromkeys(_path(label, item) for item in _items(label, value, "absolute paths")))


def _path(label: str, value: object) -> str:
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(path, str) or not path.startswith("/") or "\x00" in path:
        raise wrong(label, value, "absolute paths as text ('~' only in a policy file)")
    # POSIX lets two leading slashes mean something else, and normpath keeps them; Linux does not.
    path = "/" + posixpath.normpath(path).lstrip("/")
    if path in ("/", "/dev", "/proc") or path.startswith("/proc/"):
        raise wrong(label, value, "paths other than / (that is everything), /dev and /proc (the sandbox has its own)")
    return path


def patterns(label: str, value: object) -> tuple[str, ...]:
    """Names of variables as ``NAME``, ``PREFIX_*`` or ``*``, each once."""
    accepted = "names of variables, as NAME or PREFIX_*"
    items = _items(label, value, accepted)
    for item in items:
        if not isinstance(item, str) or not _PATTERN.fullmatch(item):
            raise wrong(label, item, f"{accepted}, with '*' only at the end")
    return tuple(dict.fromkeys(map(str, items)))


def keep_patterns(label: str, value: object) -> tuple[str, ...]:
    """As :func:`patterns`, but never every variable at once."""
    kept = patterns(label, value)
    if "*" in kept:
        raise wrong(label, "*", "NAME or PREFIX_*; '*' alone would keep every credential, so name what is needed")
    return kept


def names(label: str, value: object) -> tuple[str, ...]:
    """As :func:`patterns`, but whole names alone."""
    whole = patterns(label, value)
    for name in whole:
        if name.endswith("*"):
            raise wrong(label, name, "names of variables as NAME; PREFIX_* belongs into env_delete")
    return whole


def seconds(label: str, value: object) -> float:
    """A length of time in seconds."""
    # Written so that NaN, which compares false with everything, is refused.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _MOST_SECONDS:
        raise wrong(label, value, f"a positive number of seconds up to {_MOST_SECONDS}")
    return float(value)


def whole_seconds(label: str, value: object) -> int:
    """A length of time in whole seconds."""
    return _whole(label, value, _MOST_SECONDS, f"a positive whole number of seconds up to {_MOST_SECONDS}")


def count(label: str, value: object) -> int:
    """A number of things."""
    return _whole(label, value, _MOST, "a positive whole number")


def size(label: str, value: object) -> int:
    """A size in bytes; only tables may spell it with a unit."""
    return _whole(label, value, _MOST, "a positive whole number of bytes")


def optional(check: Callable[[str, object], _T]) -> Callable[[str, object], _T | None]:
    """Return ``check``, but for ``None``, which stays."""
    return lambda label, value: None if value is None else check(label, value)


def _whole(label: str, value: object, most: int, accepted: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise wrong(label, value, accepted)
    return value


def _items(label: str, value: object, accepted: str) -> list[object]:
    # A text is a series of texts to Python: "FOO" for ["FOO"] would become three patterns.
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise wrong(label, value, f"a list of {accepted}")
    return list(value)


def _hint(word: object, words: Iterable[str]) -> str:
    meant = nearest(word, words)
    return f"; did you mean {meant!r}?" if meant else ""


def _shown(value: object) -> str:
    return visible(repr(value), limit=100)
