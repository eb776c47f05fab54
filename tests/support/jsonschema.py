"""The part of JSON Schema that ``docs/report.schema.json`` uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["problems"]

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_SILENT = frozenset(("$schema", "$id", "$defs", "title", "description", "properties", "required", "items"))


def problems(
    value: Any, schema: Mapping[str, Any], *, root: Mapping[str, Any] | None = None, at: str = "$"
) -> list[str]:
    """Return what of a value does not fit a schema, with its place.

    :raises KeyError: the schema has a keyword that this function does not know
    """
    return list(_problems(value, schema, schema, "$"))


def _problems(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], at: str) -> Iterator[str]:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        yield from _problems(value, root["$defs"][name], root, at)
        return
    for keyword, expected in schema.items():
        if keyword not in _SILENT and keyword != "additionalProperties" and not _CHECKS[keyword](value, expected):
            yield f"{at}: {keyword} is {expected!r}, got {value!r}"
    if isinstance(value, dict):
        yield from _object_problems(value, schema, root, at)
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from _problems(item, schema["items"], root, f"{at}[{number}]")


def _object_problems(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], at: str
) -> Iterator[str]:
    yield from (f"{at}: {name!r} is missing" for name in schema.get("required", ()) if name not in value)
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in known:
            yield from _problems(item, known[name], root, f"{at}.{name}")
        elif others is False:
            yield f"{at}: {name!r} is not expected"
        elif isinstance(others, dict):
            yield from _problems(item, others, root, f"{at}.{name}")


def _has_type(value: Any, types: Any) -> bool:
    return any(_TYPES[name](value) for name in ([types] if isinstance(types, str) else types))


_CHECKS: Mapping[str, Callable[[Any, Any], bool]] = {
    "type": _has_type,
    "enum": lambda value, allowed: value in allowed,
    "const": lambda value, only: value == only,
    "minimum": lambda value, least: not isinstance(value, (int, float)) or value >= least,
    "maxLength": lambda value, most: not isinstance(value, str) or len(value) <= most,
    "maxItems": lambda value, most: not isinstance(value, list) or len(value) <= most,
    "pattern": lambda value, pattern: not isinstance(value, str) or re.search(pattern, value) is not None,
}
