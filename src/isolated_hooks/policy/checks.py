"""The checks of a policy's values. Each check takes a label and a value, and returns the value in its normal form.

An error text begins with the label, which names either a Python argument or a file and a key. Every check raises
``PolicyError`` for a wrong value.
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
    "items",
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

# The kernel treats resource limits and tmpfs sizes as signed 64-bit numbers. Python's timers overflow well above 2**31.
_LARGEST = 2**63 - 1
_MOST_SECONDS = 2**31 - 1
_SIZE = re.compile(r"([0-9]{1,19}) ?(?:([KMGT])(iB|B)?|B)?", re.IGNORECASE | re.ASCII)
_PATTERN = re.compile(r"[^\s=*?\[\]\x00]+\*?|\*")


def parse_size(value: str | int, *, label: str = "size") -> int:
    """Return a size in bytes.

    As in GNU coreutils, ``K``, ``M``, ``G``, ``T`` and ``KiB`` ... are powers of 1024, ``KB`` ... powers of 1000.

    :param value: a positive whole number of bytes, or text with or without a unit, such as ``"500M"`` or ``"2GiB"``
    :param label: the name of the size; an error text begins with it
    :raises PolicyError: the value is neither of these, or is larger than 2**63 - 1 bytes
    """
    expected = 'a positive size in bytes, as a whole number or as text such as "500M" or "2GiB"'
    if not isinstance(value, str):
        return _whole(label, value, _LARGEST, expected)
    match = _SIZE.fullmatch(value.strip(" "))
    if not match:
        raise wrong(label, value, expected)
    number, unit, suffix = match.groups()
    base = 1000 if (suffix or "").lower() == "b" else 1024
    total = int(number) * (base ** ("kmgt".index(unit.lower()) + 1) if unit else 1)
    if not 0 < total <= _LARGEST:
        raise wrong(label, value, expected)
    return total


def wrong(label: str, value: object, expected: str, remedy: str = "") -> PolicyError:
    """Return the error for a wrong value.

    :param remedy: how to correct it, or empty
    """
    return PolicyError(f"{label}: expected {expected}, got {_shown(value)}{remedy and f'; {remedy}'}")


def nearest(word: object, words: Iterable[str]) -> str | None:
    """Return the member of ``words`` that resembles ``word`` most, or ``None`` if none does."""
    matches = difflib.get_close_matches(str(word), list(words), 1)
    return visible(matches[0]) if matches else None


def named(
    table: Mapping[str, object], known: Iterable[str], where: str, spell: Callable[[str], str]
) -> dict[str, tuple[str, object]]:
    """Return a table as attribute name -> (key, value).

    :param known: the names of the attributes
    :param where: the table; an error text begins with it
    :param spell: returns the key of an attribute
    :raises PolicyError: a key belongs to no attribute
    """
    attributes = {spell(name): name for name in known}
    for key in table:
        if key not in attributes:
            hint = _hint(key, attributes)
            raise PolicyError(f"{where}: unknown key {_shown(key)}{hint and f'; {hint}'}")
    return {attributes[key]: (key, value) for key, value in table.items()}


def hyphened(name: str) -> str:
    """Return the TOML key of an attribute."""
    return name.replace("_", "-")


def mapping(label: str, value: object) -> Mapping[str, object]:
    """Check a table."""
    if not isinstance(value, Mapping):
        raise wrong(label, value, "a table")
    return value


def flag(label: str, value: object) -> bool:
    """Check a ``bool``. Other values that Python counts as true or false are wrong."""
    if not isinstance(value, bool):
        raise wrong(label, value, "true or false")
    return value


def choice(label: str, value: object, words: Iterable[str]) -> str:
    """Check a member of ``words``."""
    if not isinstance(value, str) or value not in words:
        raise wrong(label, value, f"one of {', '.join(words)}", _hint(value, words))
    return value


def choices(label: str, value: object, words: Iterable[str]) -> frozenset[str]:
    """Check an iterable of members of ``words``."""
    return frozenset(choice(label, item, words) for item in items(label, value, "names"))


#: Names that stand for several protections: ``no-namespaces`` for those that need user namespaces to hold in full.
GROUPS = {"no-namespaces": frozenset(protection for protection, row in ROWS.items() if row.without_namespaces)}


def protections(label: str, value: object) -> frozenset[Protection]:
    """Check an iterable of protections, their names and names of groups. Return the protections."""
    words = [*(protection.value for protection in Protection), *GROUPS]
    members: set[Protection] = set()
    for item in items(label, value, "names of protections"):
        members |= {item} if isinstance(item, Protection) else _members(choice(label, item, words))
    return frozenset(members)


def _members(word: str) -> frozenset[Protection]:
    return GROUPS[word] if word in GROUPS else frozenset((Protection(word),))


def paths(label: str, value: object) -> tuple[str, ...]:
    """Check an iterable of absolute paths. Return them normalised as text, without repetition."""
    return tuple(dict.fromkeys(_path(label, item) for item in items(label, value, "absolute paths")))


def _path(label: str, value: object) -> str:
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(path, str) or not path.startswith("/") or "\x00" in path:
        raise wrong(label, value, "an absolute path as text ('~' works only in a policy file)")
    # POSIX allows two leading slashes a meaning of their own, so normpath keeps them. Linux gives them none.
    path = "/" + posixpath.normpath(path).lstrip("/")
    if path in ("/", "/dev", "/proc") or path.startswith("/proc/"):
        expected = "a path other than / (which shows everything), /dev and /proc (the sandbox has its own)"
        raise wrong(label, value, expected)
    return path


def patterns(label: str, value: object) -> tuple[str, ...]:
    """Check an iterable of ``NAME``, ``PREFIX_*`` or ``*``. Return them without repetition."""
    names = items(label, value, "names of variables, as NAME or PREFIX_*")
    for item in names:
        if not isinstance(item, str) or not _PATTERN.fullmatch(item):
            raise wrong(label, item, "the name of a variable as NAME or PREFIX_*, with '*' only at the end")
    return tuple(dict.fromkeys(map(str, names)))


def keep_patterns(label: str, value: object) -> tuple[str, ...]:
    """Check as :func:`patterns`, and refuse ``*``."""
    kept = patterns(label, value)
    if "*" in kept:
        remedy = "'*' alone would keep every credential, so name the variables that hooks need"
        raise wrong(label, "*", "the name of a variable as NAME or PREFIX_*", remedy)
    return kept


def names(label: str, value: object) -> tuple[str, ...]:
    """Check as :func:`patterns`, and refuse everything except whole names."""
    whole = patterns(label, value)
    for name in whole:
        if name.endswith("*"):
            raise wrong(label, name, "the whole name of a variable", "env_delete takes PREFIX_*")
    return whole


def seconds(label: str, value: object) -> float:
    """Check a duration in seconds."""
    # The comparison is written this way round to refuse NaN, for which every comparison is false.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _MOST_SECONDS:
        raise wrong(label, value, f"a positive number of seconds up to {_MOST_SECONDS}")
    return float(value)


def whole_seconds(label: str, value: object) -> int:
    """Check a duration in whole seconds."""
    return _whole(label, value, _MOST_SECONDS, f"a positive whole number of seconds up to {_MOST_SECONDS}")


def count(label: str, value: object) -> int:
    """Check a number of things."""
    return _whole(label, value, _LARGEST, "a positive whole number")


def size(label: str, value: object) -> int:
    """Check a size in bytes. Only tables may use a unit, see :func:`parse_size`."""
    return _whole(label, value, _LARGEST, "a positive whole number of bytes")


def optional(check: Callable[[str, object], _T]) -> Callable[[str, object], _T | None]:
    """Return a check that accepts ``None`` and leaves every other value to ``check``."""
    return lambda label, value: None if value is None else check(label, value)


def _whole(label: str, value: object, largest: int, expected: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= largest:
        raise wrong(label, value, expected)
    return value


def items(label: str, value: object, expected: str) -> list[object]:
    """Check an iterable other than a text or a table. Return it as a list."""
    # Python iterates over the characters of a text: "FOO" instead of ["FOO"] would become three patterns.
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise wrong(label, value, f"a list of {expected}")
    return list(value)


def _hint(word: object, words: Iterable[str]) -> str:
    suggestion = nearest(word, words)
    return f"did you mean {suggestion!r}?" if suggestion else ""


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Python does not write integers of more than 4300 digits in decimal, and TOML has hexadecimal ones.
        text = f"a value of type {type(value).__name__} that is too large to print"
    return visible(text, limit=100)
