"""How a statement spells paths and texts: it leaves the host, and must not tell its directories, users or secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..files.paths import is_within
from ..files.spelling import normal
from ..plan.credentials import holds_credentials
from ..plan.environ import looks_secret
from ..protections import ROWS
from ..text import visible

__all__ = ["WITHHELD", "Spelling", "is_exact"]

WITHHELD = "(withheld)"
_PATH = "(a path)"
_MAX_TEXT = 2000
_MAX_DEPTH = 16
_MAX_DIGITS = 18
_REST = r"[^\s'\"`,;:]"
# A path that begins after a space, a punctuation mark or an option such as -I, up to a space, a quote or a colon.
_OPTION = r"(?<=-[BFIL])"
_ABSOLUTE = re.compile(rf"(?:(?<![\w.~/)-])|{_OPTION})/{_REST}+")
# The end of a directory in a path that does not leave it again.
_STAYS = rf"(?![\w.-]|{_REST}*/\.\.(?![^/\s'\"`,;:]))"
# Whom a keyring is asked for, in the reason of the network.
_USER = re.compile(r"=keyring:[^,;]*")
# Every host has these.
_COMMON = tuple("/bin /dev /etc /lib /lib64 /proc /sbin /sys /usr".split())
_ENTRIES = frozenset("/tmp /var/tmp /run".split())
_OWN_REASONS = frozenset(row.active for row in ROWS.values())


class Spelling:
    """The spelling of the paths of one host.

    :param home: the caller's home directory, or empty
    :param places: words for further directories of the host, by path
    :param typed: how the caller has typed paths, by absolute path
    """

    def __init__(
        self, home: str = "", places: Mapping[str, str] | None = None, typed: Mapping[str, str] | None = None
    ) -> None:
        words = {**(places or {}), home: "~"}
        self._home = home
        # The longest first: one may lie in another.
        self._places = sorted(((p, w) for p, w in words.items() if len(p) > 1), key=lambda pair: -len(pair[0]))
        self._typed = typed or {}

    def path(self, path: str) -> str:
        """Return a path of the policy as the caller has typed it; one in the home directory begins with ``~``."""
        if path in self._typed:
            text = self._typed[path]
            # No option expands a tilde: a caller who has typed one has named a directory of this name.
            return self.typed(f"./{text}" if text.startswith("~") else text)
        if len(self._home) > 1 and is_within(path, self._home):
            path = f"~{path[len(self._home) :]}"
        return self.typed(path)

    def paths(self, paths: Iterable[str]) -> list[str]:
        """Return several paths of the policy."""
        return [self.path(path) for path in paths]

    def text(self, text: str) -> str:
        """Return a text that may hold paths of the host: each becomes a word, unless every host has it."""
        text = _USER.sub("=keyring", text)
        if holds_credentials(text):
            return WITHHELD
        return visible(_ABSOLUTE.sub(_common, self._placed(text)), limit=_MAX_TEXT)

    def _placed(self, text: str) -> str:
        for place, word in self._places:
            text = re.sub(rf"(?:(?<![\w.~-])|{_OPTION}){re.escape(place)}{_STAYS}", word, text)
        return text

    def subject(self, text: str) -> str:
        """Return the same of a text that may be one path, with spaces in it."""
        placed = self._placed(text)
        return _PATH if placed.startswith("/") and not _is_common(placed) else self.text(text)

    def reason(self, reason: str) -> str:
        """Return the reason of a protection's state. Our own words name only directories that every host has."""
        return reason if reason in _OWN_REASONS else self.text(reason)

    def typed(self, text: str) -> str:
        """Return what the caller has typed, unless it looks like a credential."""
        return WITHHELD if holds_credentials(text) else visible(text, limit=_MAX_TEXT)

    def setting(self, name: str, value: Any, depth: int = 0) -> Any:
        """Return a setting for a backend as JSON values without floats, and without what looks like a credential.

        A number that is not whole, or has many digits, becomes a text.
        """
        if depth > _MAX_DEPTH or looks_secret(name):
            return WITHHELD
        if isinstance(value, dict):
            return {self.typed(key): self.setting(key, item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.setting("", item, depth + 1) for item in value]
        if isinstance(value, str):
            # NAME=value within one setting: --build-option=--token=...
            return WITHHELD if holds_credentials(f"{name}={value}") else visible(value, limit=_MAX_TEXT)
        if isinstance(value, float) or (isinstance(value, int) and len(str(abs(value))) > _MAX_DIGITS):
            return visible(str(value), limit=_MAX_TEXT)
        return value


def is_exact(path: str) -> bool:
    """Return whether a spelling stands for one path only.

    Several paths share one spelling if it is withheld or cut, or if it has a backslash: an escape, or the character.
    """
    return path != WITHHELD and len(path) <= _MAX_TEXT and "\\" not in path


def _common(match: re.Match[str]) -> str:
    """Return a path that says nothing about the host, or a word in its place. What follows it stays."""
    path = match[0].rstrip(".)")
    return match[0] if _is_common(path) else _PATH + match[0][len(path) :]


def _is_common(path: str) -> bool:
    real = normal(path)
    return real in _ENTRIES or any(is_within(real, common) for common in _COMMON)
