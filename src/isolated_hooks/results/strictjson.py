"""JSON that an attacker wrote, parsed without surprises: bounded in depth, number and size of what comes out.

The standard parser recurses for each bracket, takes numbers of any length, lets the last of two equal keys win and
accepts ``NaN``. Here each of these is refused, and so is every float: pyproject_hooks writes none.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, NoReturn

from ..errors import UntrustedResultError

__all__ = ["parse_object"]

MAX_DEPTH = 64
MAX_DIGITS = 18
MAX_STRINGS = 100_000
MAX_STRUCTURE = 1 << 20

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(_STEPS)))


def parse_object(data: bytes) -> dict[str, Any]:
    """Parse a document whose top level is an object.

    :raises UntrustedResultError: where it is not UTF-8, not JSON (RFC 8259), not an object, nested deeper than 64
        levels, or holds a float, an integer of more than 18 digits, the same key twice in one object, more than
        100,000 strings or more than 1 MiB outside of strings
    """
    _check_structure(data)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UntrustedResultError(f"output.json must be UTF-8, and is not at byte {error.start}") from None
    try:
        document = json.loads(
            text,
            parse_int=_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        # The error itself holds the whole document, so it is not passed on.
        raise UntrustedResultError(f"output.json must be JSON, and is not at character {error.pos}") from None
    except RecursionError:
        raise UntrustedResultError("output.json is nested deeper than the stack of the frontend allows") from None
    if not isinstance(document, dict):
        raise UntrustedResultError("output.json must hold an object", type(document).__name__)
    return document


def _check_structure(data: bytes) -> None:
    """Bound what the parser will recurse into and allocate, before it runs.

    Exact for all that the parser accepts: a backslash is only ever inside a string there. At the first byte that it
    does not accept it stops, so what is counted wrongly after that does not matter.
    """
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    if unescaped.count(b'"') > 2 * MAX_STRINGS:
        raise UntrustedResultError(f"output.json must not hold more than {MAX_STRINGS} strings")
    outside = b"".join(unescaped.split(b'"')[::2])
    if len(outside) > MAX_STRUCTURE:
        raise UntrustedResultError(f"output.json must not hold more than {MAX_STRUCTURE} bytes outside of strings")
    brackets = outside.translate(None, _NOT_BRACKETS)
    depth = max(itertools.accumulate(map(_STEPS.__getitem__, brackets)), default=0)
    if depth > MAX_DEPTH:
        raise UntrustedResultError(f"output.json must not be nested deeper than {MAX_DEPTH} levels", f"{depth} levels")


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise UntrustedResultError(f"an integer in output.json must not have more than {MAX_DIGITS} digits")
    return int(digits)


def _refuse_number(text: str) -> NoReturn:
    raise UntrustedResultError("a number in output.json must be an integer", text[:64])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UntrustedResultError("an object in output.json must not have the same key twice")
    return found
