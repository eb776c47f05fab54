"""The page on the documents that commands write, from the JSON schemas in ``docs``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .text import HEADER, heading, list_table, literal, wrapped

__all__ = ["page"]

_DOCS = Path(__file__).parents[3] / "docs"
_SCHEMAS = {
    "The report of a build": ("report.schema.json", "`The build frontend <../frontends/build.rst#the-report>`_"),
    "The statement of what was enforced": ("enforcement.schema.json", "`Provenance <../provenance.rst>`_"),
}
_BEGINNING = """\
Report and statement schemas
============================

Programs read these documents. Each has a JSON schema, and the tables here are made from it. ``[]`` stands for each
element of a list, and ``*`` for each key. What hooks chose is escaped.

"""
_ENDING = """\
Other documents
---------------

``isolated-hooks doctor --json``, ``selftest --json`` and ``explain --json`` print a document with a number ``version``,
or the plan itself. The number changes if a key changes its meaning or goes away. `Selftest <../selftest.rst>`_ names
the keys of its document, and `many packages <../wheelhouse.rst>`_ those of its report.
"""


def page() -> str:
    """Return the text of the page."""
    return HEADER + _BEGINNING + "".join(_schema(title, *row) for title, row in _SCHEMAS.items()) + _ENDING


def _schema(title: str, name: str, more: str) -> str:
    schema = json.loads((_DOCS / name).read_text(encoding="utf-8"))
    rows = [(literal(path), kind, about) for path, kind, about in _rows(schema, schema, "")]
    table = list_table(("key", "type", "what it says"), rows, (36, 16, 48))
    about = wrapped(schema["description"].replace("'", "``"))
    links = wrapped(f"`{name} <../{name}>`_ is the schema. {more} has more.")
    return f"{heading(title, '-')}{about}\n\n{links}\n\n{table}\n"


def _rows(schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the path, the type and the description of everything beneath a part of a schema."""
    for name, part in schema.get("properties", {}).items():
        yield from _row(part, root, f"{path}.{name}" if path else name)
    rest = schema.get("additionalProperties")
    if isinstance(rest, Mapping) and rest:
        yield from _row(rest, root, f"{path}.*")


def _row(part: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    whole = _resolved(part, root)
    yield path, _kind(whole), part.get("description") or whole.get("description", "")
    below = whole
    if "items" in whole and (found := _resolved(whole["items"], root)).get("properties"):
        below, path = found, f"{path}[]"
    for branch in (below, *(_resolved(each, root) for each in below.get("anyOf", below.get("oneOf", ())))):
        yield from _rows(branch, root, path)


def _resolved(part: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    return {**root["$defs"][part["$ref"].rpartition("/")[2]], **{k: v for k, v in part.items() if k != "$ref"}}


def _kind(part: Mapping[str, Any]) -> str:
    if "const" in part:
        return literal(json.dumps(part["const"]))
    if "enum" in part:
        return ", ".join(literal(json.dumps(value)) for value in part["enum"])
    kinds = part.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    kinds += [kind for each in part.get("anyOf", part.get("oneOf", ())) if (kind := each.get("type"))]
    return " or ".join(map(str, kinds)) or "any"
