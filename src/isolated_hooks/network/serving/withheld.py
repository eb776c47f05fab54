"""Keeps the credential for the operator's own proxy from coming back to the hook.

That proxy gets it with each plain request, and answers some itself: a ``TRACE`` with the request, RFC 9110, 9.3.8, and
some have shown a whole request in their pages about errors, as Squid did before 7.2 (CVE-2025-62168).
"""

from __future__ import annotations

import base64
import binascii

__all__ = ["ShownError", "Withheld"]

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# A short user name without a password would be found in any page.
_SHORTEST = 8


class ShownError(OSError):
    """The answer holds the credential."""


class Withheld:
    """Passes an answer on in pieces, up to the place where the credential begins.

    :param authorization: the value of ``Proxy-Authorization``, or empty
    """

    def __init__(self, authorization: str) -> None:
        word = authorization.partition(" ")[2].encode("ascii").rstrip(b"=")
        self._spellings = {spelling for text in _texts(word) for spelling in (text, *_quoted(text))}
        self._kept = b""

    def pass_on(self, data: bytes) -> bytes:
        """Return what may go to the hook of what has come so far. An empty piece says that nothing comes any more.

        :raises ShownError: the credential has come
        """
        data, ended = self._kept + data, not data
        if any(spelling in data for spelling in self._spellings):
            raise ShownError
        size = 0 if ended else max((_begun(data, spelling) for spelling in self._spellings), default=0)
        self._kept = data[len(data) - size :]
        return data[: len(data) - size]


def _texts(word: bytes) -> list[bytes]:
    try:
        plain = base64.b64decode(word + b"=" * (-len(word) % 4))
    except binascii.Error:
        plain = b""
    return [text for text in (word, plain) if len(text) >= _SHORTEST]


def _quoted(text: bytes) -> list[bytes]:
    """Return a text as a URL holds it, which a page may link to."""
    return [
        b"".join(bytes((byte,)) if byte in _UNRESERVED else form % byte for byte in text)
        for form in (b"%%%02X", b"%%%02x")
    ]


def _begun(data: bytes, spelling: bytes) -> int:
    """Return how many bytes at the end of some data may begin a spelling."""
    sizes = range(min(len(data), len(spelling) - 1), 0, -1)
    return next((size for size in sizes if data.endswith(spelling[:size])), 0)
