"""A strict parser for JSON that an attacker wrote. The caller bounds the document's size.

The standard parser recurses for each bracket, accepts numbers of any length, lets the last of two equal keys win and
accepts ``NaN``. We refuse all of these, and every float, because pyproject_hooks writes none.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, NoReturn

from ..errors import UntrustedResultError

__all__ = ["parse_object"]

MAX_DEPTH = 64
MAX_DIGITS = 18

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(_STEPS)))


def parse_object(data: bytes, name: str = "output.json") -> dict[str, Any]:
    """Parse a document whose top level is an object.

    :param name: the name of the document, for errors
    :raises UntrustedResultError: it is not UTF-8, not JSON (RFC 8259), not an object, nested deeper than 64
        levels, or holds a float, an integer of more than 18 digits or the same key twice in one object
    """
    rules = _Rules(name)
    # This count is exact up to the first byte that the parser refuses: before it, backslashes occur only in strings.
    outside = b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside.translate(None, _NOT_BRACKETS)
    if max(itertools.accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise UntrustedResultError(f"{name} must not be nested deeper than {MAX_DEPTH} levels")
    try:
        document = json.loads(
            data.decode(),
            parse_int=rules.integer,
            parse_float=rules.refuse_number,
            parse_constant=rules.refuse_number,
            object_pairs_hook=rules.unique,
        )
    except UnicodeDecodeError as error:
        raise UntrustedResultError(f"{name} must be UTF-8 (invalid at byte {error.start})") from None
    except json.JSONDecodeError as error:
        # The error holds the whole document, so we do not pass it on.
        raise UntrustedResultError(f"{name} must be JSON (invalid at character {error.pos})") from None
    except RecursionError:
        raise UntrustedResultError(f"{name} must not be nested deeper than the frontend's stack allows") from None
    if not isinstance(document, dict):
        raise UntrustedResultError(f"{name} must hold an object", type(document).__name__)
    return document


class _Rules:
    """What the standard parser calls for numbers and objects."""

    def __init__(self, name: str) -> None:
        self._name = name

    def integer(self, digits: str) -> int:
        if len(digits.lstrip("-")) > MAX_DIGITS:
            raise UntrustedResultError(f"an integer in {self._name} must not have more than {MAX_DIGITS} digits")
        return int(digits)

    def refuse_number(self, text: str) -> NoReturn:
        raise UntrustedResultError(f"a number in {self._name} must be an integer", text[:64])

    def unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) != len(pairs):
            raise UntrustedResultError(f"an object in {self._name} must not have the same key twice")
        return document
