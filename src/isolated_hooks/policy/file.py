"""Policy files in TOML, with a policy for every package and policies for single packages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from packaging.utils import canonicalize_name

from ..errors import PolicyError
from ..files.documents import DocumentError, parse_toml, read_document
from ..files.spelling import absolute
from ..files.steered import Trees
from ..frozen import dataclass
from ..text import visible
from . import checks
from .keys import KEYS
from .policy import Policy, policy_values

__all__ = ["PolicyFile", "load_policy", "refuse_written_policies"]

#: The most bytes of a policy file. A table for each of ten thousand packages has fewer.
MAX_POLICY = 4 << 20

_TABLE = "tool.isolated-hooks"
# The absolute paths of the files that this process has read, in order.
_read: dict[str, None] = {}
# The name of a project, from the core metadata specification.
_PROJECT = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class PolicyFile:
    """The policies of a policy file.

    :ivar path: the path of the file
    :ivar default: the policy for every package without a table of its own
    :ivar packages: the policies for single packages, by canonical name (PEP 503)
    """

    path: str
    default: Policy
    packages: Mapping[str, Policy]

    def for_package(self, name: str | None) -> Policy:
        """Return the policy for a package.

        :param name: its name in any spelling, or ``None`` for the default policy
        """
        return self.default if name is None else self.packages.get(canonicalize_name(name), self.default)


def load_policy(path: str | os.PathLike[str]) -> PolicyFile:
    """Read a policy file in TOML.

    The policy is the table ``[tool.isolated-hooks]``. A file without ``[tool]``, ``[project]`` and ``[build-system]``
    is a policy as a whole. A table ``packages.NAME`` of the policy replaces single keys, and single limits, for that
    package. In paths, ``~`` stands for the caller's home directory.

    :param path: the file
    :raises PolicyError: the file cannot be read or is not valid; the text names the file and the key
    """
    name = os.fspath(path)
    shown = visible(name, limit=300)
    _read[absolute(name)] = None
    try:
        document = parse_toml(read_document(name, limit=MAX_POLICY))
    except OSError as error:
        raise PolicyError(f"{shown}: cannot be read: {error.strerror}") from error
    except DocumentError as error:
        raise PolicyError(f"{shown}: not a policy file: {error}") from error
    except ValueError as error:  # not TOML, not UTF-8, or a path that no file can have
        raise PolicyError(f"{shown}: not valid TOML: {visible(str(error), limit=200)}") from error
    table, where = _own_table(document, shown)
    packages = checks.mapping(f"{where}: packages", table.pop("packages", {}))
    base = policy_values(_expanded(table), where)
    return PolicyFile(name, Policy(**base), MappingProxyType(_package_policies(packages, base, where)))


def refuse_written_policies(trees: Iterable[str]) -> None:
    """Check that hooks cannot write to a policy file that this process has read: it would decide about later hooks.

    :param trees: the trees that hooks may write to
    :raises PolicyError: they can
    """
    if not _read:
        return
    written = Trees(trees, kept=())
    for path in [*_read]:  # another thread may read one meanwhile
        if written.steer(path):
            raise PolicyError(
                f"the policy file {visible(path, limit=300)!r} lies where hooks may write, in a source tree for "
                "instance, or a link there leads to it, so a hook could choose what later ones may do. Remedy: move it "
                "to a directory outside, or set source to 'read-only' or 'discard'"
            )


def _own_table(document: dict[str, object], where: str) -> tuple[dict[str, object], str]:
    """Return our table of a document, and its name for error texts."""
    tool = document.get("tool")
    if isinstance(tool, dict) and "isolated-hooks" in tool:
        misplaced = sorted(set(document) & {*map(checks.hyphened, KEYS), "packages"})
        if misplaced:
            raise PolicyError(f"{where}: {misplaced[0]} stands outside of [{_TABLE}]; move it into that table")
        where = f"{where}: [{_TABLE}]"
        return dict(checks.mapping(where, tool["isolated-hooks"])), where
    if document.keys() & {"tool", "project", "build-system"}:
        similar = checks.nearest("isolated-hooks", tool) if isinstance(tool, dict) else None
        hint = f"; is [tool.{similar}] misspelled?" if similar else ""
        raise PolicyError(f"{where}: no table [{_TABLE}]{hint}")
    return dict(document), where


def _package_policies(packages: Mapping[str, object], base: dict[str, Any], where: str) -> dict[str, Policy]:
    policies: dict[str, Policy] = {}
    for name, table in packages.items():
        label = f"{where}: packages.{visible(name)}"
        if not _PROJECT.fullmatch(name):
            raise checks.wrong(label, name, "the name of a package")
        canonical = canonicalize_name(name)
        if canonical in policies:
            raise PolicyError(f"{label}: {canonical} has two tables whose names differ in spelling only; merge them")
        own = policy_values(_expanded(checks.mapping(label, table)), label)
        # Each limit counts as a key of its own: raising one must not reset the others.
        limits = {**base.get("limits", {}), **own.get("limits", {})}
        policies[canonical] = Policy(**{**base, **own, "limits": limits})
    return policies


def _expanded(table: Mapping[str, object]) -> dict[str, object]:
    """Expand ``~`` in the paths of a table. Values of a wrong type stay, and the checks refuse them later."""
    expanded = dict(table)
    for key in (checks.hyphened(name) for name, row in KEYS.items() if row.paths):
        paths = expanded.get(key)
        if isinstance(paths, list):
            expanded[key] = [os.path.expanduser(path) if isinstance(path, str) else path for path in paths]
    return expanded
