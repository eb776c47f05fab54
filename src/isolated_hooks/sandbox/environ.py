"""The environment filter, as it is applied: in the child, where the merged environment is visible.

The parent decides what is dropped; see ``isolated_hooks.plan.environ``. The rules hold a keyed digest of each value to
drop and never the value, so that no credential reaches the disk, and a value of the frontend's own is told from the
ambient one.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # an interpreter without its own BLAKE2
    from hashlib import blake2b

if False:
    from typing import Any

_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"


def digest(key: bytes, value: bytes) -> bytes:
    """Return what stands for ``value`` in the rules. ``key`` is new for each call, up to 64 bytes."""
    return blake2b(value, key=key, digest_size=16).digest()


def matches(name: bytes, patterns: list[bytes]) -> bool:
    """Return whether ``name`` is one of the ``patterns``, each ``NAME`` or ``PREFIX*``."""
    return any(name.startswith(p[:-1]) if p.endswith(b"*") else name == p for p in patterns)


def apply(environ: dict[bytes, bytes], rules: dict[str, Any]) -> dict[bytes, bytes]:
    """Return the environment for the hook, in a new dictionary.

    :param environ: the environment as the frontend's runner merged it
    :param rules: ``EnvironRules.for_child()``, with ``path_roots`` and ``path_refused``
    """
    kept = {name: value for name, value in environ.items() if not matches(name, rules["remove"])}
    result = {name: value for name, value in kept.items() if _stays(name, value, rules)}
    for name, value in rules["defaults"].items():
        result.setdefault(name, value)
    result.update(rules["set"])
    for name in rules["path_lists"]:
        _fit_path(result, name, rules["path_roots"], rules["path_refused"])
    result.setdefault(b"PATH", _DEFAULT_PATH)
    return result


def _stays(name: bytes, value: bytes, rules: dict[str, Any]) -> bool:
    dropped = rules["dropped"].get(name)
    # The digest comes before the runner call's own names: a runner that let the ambient value win must not leak it.
    if dropped is not None and digest(rules["key"], value) == dropped:
        return False
    if name in rules["given"] or matches(name, rules["keep"]):
        return True
    return not matches(name.lower(), rules["delete"])


def _fit_path(environ: dict[bytes, bytes], name: bytes, roots: list[bytes], refused: list[bytes]) -> None:
    entries = [entry for entry in environ.pop(name, b"").split(b":") if _visible(entry, roots, refused)]
    if entries:
        environ[name] = b":".join(dict.fromkeys(entries))


def _visible(entry: bytes, roots: list[bytes], refused: list[bytes]) -> bool:
    """Return whether the nearest directory above ``entry`` that is in either list is one of the ``roots``.

    The nearest one decides, as with mounts: a build environment in /tmp is visible and read-only, the rest of /tmp can
    be written by the hook. Where both lists name the same directory, it is refused.
    """
    parts = [part for part in entry.split(b"/") if part not in (b"", b".")]
    # An empty or relative entry is the current directory, which is the source tree; ".." may lead anywhere.
    if not entry.startswith(b"/") or b".." in parts:
        return False
    return _depth(parts, roots) > _depth(parts, refused)


def _depth(parts: list[bytes], directories: list[bytes]) -> int:
    """Return how many components the longest of ``directories`` that covers ``parts`` has, or -1."""
    depth = -1
    for directory in directories:
        prefix = [part for part in directory.split(b"/") if part]
        if len(prefix) > depth and parts[: len(prefix)] == prefix:
            depth = len(prefix)
    return depth
