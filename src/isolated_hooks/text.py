"""Text that a hook may have written, made fit for terminals and logs."""

from __future__ import annotations

import unicodedata

__all__ = ["visible"]

# Cc: control, Cf: format (every bidirectional override is one), Cs: lone surrogates, Co: private use,
# Zl and Zp: the separators that some terminals and logs take for a new line.
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))


def visible(text: str, *, limit: int | None = None, keep: str = "") -> str:
    """Return ``text`` with every character that could steer a terminal written as an escape.

    :param limit: cut to this many characters, with an ellipsis
    :param keep: characters to leave as they are, for instance ``"\\n\\t"`` in a traceback
    """
    cut = text if limit is None or len(text) <= limit else text[:limit] + "…"
    return "".join(c if c in keep or unicodedata.category(c) not in _HIDDEN else _escape(c) for c in cut)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
