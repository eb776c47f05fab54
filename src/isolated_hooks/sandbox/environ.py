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
    return _matches(name, *_split(patterns))


def _split(patterns: list[bytes]) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    """Return the names among the patterns, and the prefixes of the others."""
    return frozenset(patterns), tuple([pattern[:-1] for pattern in patterns if pattern.endswith(b"*")])


def _matches(name: bytes, names: frozenset[bytes], prefixes: tuple[bytes, ...]) -> bool:
    # A pattern is in ``names`` too, so a variable with an asterisk in its name matches the pattern of that name: it
    # begins with that prefix, so that is right.
    return name in names or name.startswith(prefixes)


def apply(environ: dict[bytes, bytes], rules: dict[str, Any]) -> dict[bytes, bytes]:
    """Return the hook's environment in a new dictionary.

    :param environ: the environment as the frontend's runner merged it
    :param rules: ``EnvironRules.for_child()``, with ``path_roots`` and ``path_refused``
    """
    removed = _split(rules["remove"])
    kept = {name: value for name, value in environ.items() if not _matches(name, *removed)}
    result = _staying(kept, rules)
    for name, value in rules["defaults"].items():
        result.setdefault(name, value)
    result.update(rules["set"])
    roots, refused = [*map(_parts, rules["path_roots"])], [*map(_parts, rules["path_refused"])]
    for name in rules["path_lists"]:
        _fit_path(result, name, roots, refused)
    result.setdefault(b"PATH", _DEFAULT_PATH)
    return result


def _staying(environ: dict[bytes, bytes], rules: dict[str, Any]) -> dict[bytes, bytes]:
    passed, keep, delete = frozenset(rules["passed"]), _split(rules["keep"]), _split(rules["delete"])

    def stays(name: bytes, value: bytes) -> bool:
        dropped = rules["dropped"].get(name)
        # The digest comes before the names in extra_environ: a runner that lets the ambient value win must not leak it.
        if dropped is not None and digest(rules["key"], value) == dropped:
            return False
        return name in passed or _matches(name, *keep) or not _matches(name.lower(), *delete)

    return {name: value for name, value in environ.items() if stays(name, value)}


def _fit_path(environ: dict[bytes, bytes], name: bytes, roots: list[list[bytes]], refused: list[list[bytes]]) -> None:
    entries = [entry for entry in environ.pop(name, b"").split(b":") if _visible(entry, roots, refused)]
    if entries:
        environ[name] = b":".join(dict.fromkeys(entries))


def _visible(entry: bytes, roots: list[list[bytes]], refused: list[list[bytes]]) -> bool:
    """Return whether the nearest listed directory above ``entry``, or ``entry`` itself, is one of the ``roots``.

    The nearest directory decides, as with mounts: a build environment in /tmp is visible and read-only, but the hook
    can write to the rest of /tmp. If both lists name the same directory, we refuse it.
    """
    parts = [part for part in _parts(entry) if part != b"."]
    # An empty or relative entry depends on the current directory, which is the source tree; ".." may lead anywhere.
    if not entry.startswith(b"/") or b".." in parts:
        return False
    return _depth(parts, roots) > _depth(parts, refused)


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part]


def _depth(parts: list[bytes], directories: list[list[bytes]]) -> int:
    """Return the number of components of the longest of ``directories`` that covers ``parts``, or -1."""
    return max((len(prefix) for prefix in directories if parts[: len(prefix)] == prefix), default=-1)
