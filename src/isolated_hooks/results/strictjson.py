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


def parse_object(data: bytes) -> dict[str, Any]:
    """Parse a document whose top level is an object.

    :raises UntrustedResultError: it is not UTF-8, not JSON (RFC 8259), not an object, nested deeper than 64
        levels, or holds a float, an integer of more than 18 digits or the same key twice in one object
    """
    # This count is exact up to the first byte that the parser refuses: before it, backslashes occur only in strings.
    outside = b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside.translate(None, _NOT_BRACKETS)
    if max(itertools.accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise UntrustedResultError(f"output.json must not be nested deeper than {MAX_DEPTH} levels")
    try:
        document = json.loads(
            data.decode(),
            parse_int=_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError as error:
        raise UntrustedResultError(f"output.json must be UTF-8 (invalid at byte {error.start})") from None
    except json.JSONDecodeError as error:
        # The error holds the whole document, so we do not pass it on.
        raise UntrustedResultError(f"output.json must be JSON (invalid at character {error.pos})") from None
    except RecursionError:
        raise UntrustedResultError("output.json must not be nested deeper than the frontend's stack allows") from None
    if not isinstance(document, dict):
        raise UntrustedResultError("output.json must hold an object", type(document).__name__)
    return document


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise UntrustedResultError(f"an integer in output.json must not have more than {MAX_DIGITS} digits")
    return int(digits)


def _refuse_number(text: str) -> NoReturn:
    raise UntrustedResultError("a number in output.json must be an integer", text[:64])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise UntrustedResultError("an object in output.json must not have the same key twice")
    return document
