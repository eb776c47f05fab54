"""A policy file in TOML: one policy for every package, and those for single packages."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from packaging.utils import canonicalize_name

from ..errors import PolicyError
from ..text import visible
from . import checks
from .keys import KEYS
from .policy import Policy, policy_values

__all__ = ["PolicyFile", "load_policy"]

_TABLE = "tool.isolated-hooks"
# The name of a project, from the core metadata specification.
_PROJECT = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)


@dataclasses.dataclass(frozen=True)
class PolicyFile:
    """A policy file: the policy for every package, and those for single packages, by canonical name."""

    path: str
    default: Policy
    packages: Mapping[str, Policy]

    def for_package(self, name: str | None) -> Policy:
        """Return the policy for the package ``name`` in any spelling; for ``None`` the one for every package."""
        return self.default if name is None else self.packages.get(canonicalize_name(name), self.default)


def load_policy(path: str | os.PathLike[str]) -> PolicyFile:
    """Read a policy file in TOML.

    The policy is the table ``[tool.isolated-hooks]``, or in a file of its own the whole file. Tables
    ``packages.NAME`` beneath it replace single keys (and single limits) for that package. ``~`` is expanded in paths.

    :raises PolicyError: where the file cannot be read or is not valid; the text names the file and the key
    """
    # Here, because a frontend that is run by another interpreter has no tomli there, and reads no file.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise PolicyError(f"{visible(name)}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or nested without end
        raise PolicyError(f"{visible(name)}: is not valid TOML: {visible(str(error), limit=200)}") from error
    table, where = _own_table(document, visible(name))
    packages = checks.mapping(f"{where}: packages", table.pop("packages", {}))
    base = policy_values(_expanded(table), where)
    return PolicyFile(name, Policy(**base), MappingProxyType(_package_policies(packages, base, where)))


def _own_table(document: dict[str, object], where: str) -> tuple[dict[str, object], str]:
    """Return this package's table of a document, and how to call it in an error."""
    tool = document.get("tool")
    if isinstance(tool, dict) and "isolated-hooks" in tool:
        astray = sorted(set(document) & {*map(checks.hyphened, KEYS), "packages"})
        if astray:
            raise PolicyError(f"{where}: {astray[0]}: stands outside of [{_TABLE}]; move it there")
        where = f"{where}: [{_TABLE}]"
        return dict(checks.mapping(where, tool["isolated-hooks"])), where
    if document.keys() & {"tool", "project", "build-system"}:
        near = checks.nearest("isolated-hooks", tool) if isinstance(tool, dict) else None
        raise PolicyError(f"{where}: has no table [{_TABLE}]" + (f"; there is [tool.{near}]" if near else ""))
    return dict(document), where


def _package_policies(packages: Mapping[str, object], base: dict[str, Any], where: str) -> dict[str, Policy]:
    policies: dict[str, Policy] = {}
    for name, table in packages.items():
        label = f"{where}: packages.{visible(name)}"
        if not _PROJECT.fullmatch(name):
            raise checks.wrong(label, name, "the name of a package")
        canonical = canonicalize_name(name)
        if canonical in policies:
            raise PolicyError(f"{label}: {canonical} has two tables that differ in spelling only; merge them")
        own = policy_values(_expanded(checks.mapping(label, table)), label)
        # A single limit is a key of its own: raising one must not reset the others.
        limits = {**base.get("limits", {}), **own.get("limits", {})}
        policies[canonical] = Policy(**{**base, **own, "limits": limits})
    return policies


def _expanded(table: Mapping[str, object]) -> dict[str, object]:
    """Expand ``~`` in the paths of a table; whatever is not a list of texts is left for the checks to refuse."""
    result = dict(table)
    for key in (checks.hyphened(name) for name, row in KEYS.items() if row.paths):
        paths = result.get(key)
        if isinstance(paths, list):
            result[key] = [os.path.expanduser(path) if isinstance(path, str) else path for path in paths]
    return result
