"""Text that a hook may have written, made fit for terminals and logs.

Two kinds of reader obey text: terminals, which take control characters as orders, and continuous integration systems,
which take lines of a certain form as commands. For both the order is left readable and is no order any more.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["COMMAND_NAME", "escape", "is_hidden", "is_visible", "visible"]

# Cc: control, Cf: format (every bidirectional override is one), Cs: lone surrogates, Co: private use,
# Zl and Zp: the separators that some terminals and logs take for a new line.
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))

#: What may stand between the two number signs and the bracket of a command: ``##vso[``, ``##teamcity[``, ``##[``.
COMMAND_NAME = r"[A-Za-z0-9_.-]"
# GitHub: "::set-env ...::" after nothing but space; Azure, TeamCity and GitHub's first form: anywhere in a line.
_BRACKETED = re.compile(rf"(##{COMMAND_NAME}*)\[")
_LEADING = re.compile(r"^([^\S\n]*:):", re.MULTILINE)


def visible(text: str, *, limit: int | None = None, keep: str = "") -> str:
    """Return ``text`` with every character that could steer a terminal or be a command to a CI written as an escape.

    :param limit: cut to this many characters, with an ellipsis
    :param keep: characters to leave as they are, for instance ``"\\n\\t"`` in a traceback
    """
    cut = text if limit is None or len(text) <= limit else text[:limit] + "…"
    shown = "".join(c if c in keep or not is_hidden(c) else escape(c) for c in cut)
    return _LEADING.sub(rf"\1\{escape(':')}", _BRACKETED.sub(rf"\1\{escape('[')}", shown))


def is_hidden(character: str) -> bool:
    """Say whether a character shows as nothing, steers a terminal, or changes the direction of what follows."""
    return unicodedata.category(character) in _HIDDEN


def is_visible(text: str) -> bool:
    """Say whether no character of a text is hidden."""
    return text.isprintable() or not any(map(is_hidden, text))


def escape(character: str) -> str:
    """Return the escape that a character is written as."""
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
