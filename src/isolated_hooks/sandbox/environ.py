"""The environment filter. The child applies it, because only the child sees the merged environment.

The parent decides which variables to drop; see ``isolated_hooks.plan.environ``. For each value to drop, the rules hold
a keyed digest and never the value. So no credential reaches the disk, and yet the child can tell an ambient value from
one that the frontend set.
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
    """Return the digest that stands for ``value`` in the rules. ``key`` is new for each call, up to 64 bytes."""
    return blake2b(value, key=key, digest_size=16).digest()


def matches(name: bytes, patterns: list[bytes]) -> bool:
    """Return whether ``name`` matches one of the ``patterns``, each ``NAME`` or ``PREFIX*``."""
    return any(name.startswith(p[:-1]) if p.endswith(b"*") else name == p for p in patterns)


def apply(environ: dict[bytes, bytes], rules: dict[str, Any]) -> dict[bytes, bytes]:
    """Return the hook's environment in a new dictionary.

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
    # The digest comes before the names in extra_environ: a runner that lets the ambient value win must not leak it.
    if dropped is not None and digest(rules["key"], value) == dropped:
        return False
    if name in rules["passed"] or matches(name, rules["keep"]):
        return True
    return not matches(name.lower(), rules["delete"])


def _fit_path(environ: dict[bytes, bytes], name: bytes, roots: list[bytes], refused: list[bytes]) -> None:
    entries = [entry for entry in environ.pop(name, b"").split(b":") if _visible(entry, roots, refused)]
    if entries:
        environ[name] = b":".join(dict.fromkeys(entries))


def _visible(entry: bytes, roots: list[bytes], refused: list[bytes]) -> bool:
    """Return whether the nearest listed directory above ``entry``, or ``entry`` itself, is one of the ``roots``.

    The nearest directory decides, as with mounts: a build environment in /tmp is visible and read-only, but the hook
    can write to the rest of /tmp. If both lists name the same directory, we refuse it.
    """
    parts = [part for part in entry.split(b"/") if part not in (b"", b".")]
    # An empty or relative entry depends on the current directory, which is the source tree; ".." may lead anywhere.
    if not entry.startswith(b"/") or b".." in parts:
        return False
    return _depth(parts, roots) > _depth(parts, refused)


def _depth(parts: list[bytes], directories: list[bytes]) -> int:
    """Return the number of components of the longest of ``directories`` that covers ``parts``, or -1."""
    depth = -1
    for directory in directories:
        prefix = [part for part in directory.split(b"/") if part]
        if len(prefix) > depth and parts[: len(prefix)] == prefix:
            depth = len(prefix)
    return depth
