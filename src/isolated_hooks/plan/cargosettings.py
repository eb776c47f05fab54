"""Cargo's configuration of the caller, as a subset: where crates come from and how they are compiled.

A hook has a CARGO_HOME of its own, so that it neither reads credentials nor changes the caller's registry. Without the
configuration there, a build would look for vendored crates on the network, or be linked by another linker.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..files.documents import loads_toml
from ..files.paths import Filesystem, is_within, resolve
from ..files.spelling import normal
from .credentials import holds_credentials
from .environ import looks_secret

__all__ = ["cargo_settings", "directories", "parsed", "render", "vetted"]

# The tables of the Cargo Book, chapter Configuration, of which a hook gets everything that is no credential.
_TABLES = frozenset("build target source net profile patch unstable paths term env registry registries".split())
_DEEPEST = 6


def cargo_settings(
    filesystem: Filesystem, home: str, environ: Mapping[str, str], *, closed: Callable[[str], bool]
) -> dict[str, Any]:
    """Return what a hook gets of the caller's configuration.

    :param closed: tells whether a hook may write to the directory of a path, or the policy hides it
    """
    base = environ.get("CARGO_HOME") or f"{home}/.cargo"
    for path in (f"{base}/config", f"{base}/config.toml"):
        real, links = resolve(filesystem, path) if os.path.isabs(path) else (None, {})
        if real is not None and filesystem.kind(real) == "file":
            text = "" if any(map(closed, (path, real, *links))) else filesystem.text(real)
            return vetted(parsed(text))
    return {}


def parsed(text: str) -> dict[str, Any]:
    """Return a TOML document, or an empty one if the text is none or this interpreter cannot read it."""
    try:
        return loads_toml(text)
    except (ImportError, ValueError, RecursionError):
        return {}


def directories(document: Mapping[str, Any], home: str) -> Iterator[str]:
    """Yield the directories with crates that a document names, but none among the hidden files of a home."""
    sources = document.get("source", {})
    for source in sources.values() if isinstance(sources, dict) else ():
        for key in ("directory", "local-registry"):
            path = source.get(key) if isinstance(source, dict) else None
            if isinstance(path, str) and os.path.isabs(path):
                path = normal(path)
                if not (is_within(path, home) and path[len(home) :].startswith("/.") and "/.cargo/" not in path):
                    yield path


def vetted(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a hook gets of a document: no table of other purpose, and nothing that looks like a credential."""
    return {name: kept for name, value in document.items() if name in _TABLES and (kept := _kept(value, 1)) is not None}


def _kept(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return None if holds_credentials(value) else value
    if isinstance(value, (bool, int)):
        return value
    if depth > _DEEPEST:
        return None
    if isinstance(value, list):
        return [kept for item in value if (kept := _kept(item, depth + 1)) is not None]
    if isinstance(value, dict):
        names = [name for name in value if not looks_secret(name) and name != "credential-provider"]
        return {name: kept for name in names if (kept := _kept(value[name], depth + 1)) is not None}
    return None  # a date or a fraction, which no setting is


def render(document: Mapping[str, Any]) -> str:
    """Return a TOML document, each of whose tables stands on one line."""
    return "".join(f"{_text(name)} = {_text(value)}\n" for name, value in document.items() if value != {})


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(name)} = {_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    # A basic string of TOML has the escapes of JSON. DEL, which JSON leaves as it is, needs one.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
