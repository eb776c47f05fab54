"""Escape text that a hook may have written, before a terminal or a log shows it.

Two kinds of reader obey text: terminals obey control characters, and continuous integration (CI) services obey lines of
a certain form. The escaped text stays readable, and neither of them obeys it.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["COMMAND_NAME", "escape", "is_hidden", "is_visible", "visible"]

# Cc: control; Cf: format, which includes every bidirectional override; Cs: lone surrogates; Co: private use;
# Zl and Zp: separators that some terminals and logs treat as a new line.
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))

#: A character that a CI command may have between ``##`` and ``[``: ``##vso[``, ``##teamcity[``, ``##[``.
COMMAND_NAME = r"[A-Za-z0-9_.-]"
# GitHub obeys "::set-env ...::" after leading white space only. Azure, TeamCity and GitHub's older form work anywhere
# in a line.
_BRACKETED = re.compile(rf"(##{COMMAND_NAME}*)\[")
_LEADING = re.compile(r"^([^\S\n]*:):", re.MULTILINE)


def visible(text: str, *, limit: int | None = None, keep: str = "") -> str:
    """Return ``text`` with an escape for every character that could control a terminal or start a CI command.

    :param limit: cut ``text`` to this many characters, and add an ellipsis
    :param keep: characters to leave unescaped, for instance ``"\\n\\t"`` in a traceback
    """
    cut = text if limit is None or len(text) <= limit else text[:limit] + "…"
    shown = "".join(c if c in keep or not is_hidden(c) else escape(c) for c in cut)
    return _LEADING.sub(rf"\1\{escape(':')}", _BRACKETED.sub(rf"\1\{escape('[')}", shown))


def is_hidden(character: str) -> bool:
    """Return whether a character is invisible, controls a terminal, or changes the direction of the text after it."""
    return unicodedata.category(character) in _HIDDEN


def is_visible(text: str) -> bool:
    """Return whether a text has no hidden character."""
    return text.isprintable() or not any(map(is_hidden, text))


def escape(character: str) -> str:
    """Return the escape for a character, as in a Python string literal."""
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
