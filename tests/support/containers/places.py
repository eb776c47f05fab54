"""Every environment of the lab, and the findings from it."""

from __future__ import annotations

import json
from typing import Any

from support.containers.environments import ENVIRONMENTS, Environment
from support.containers.lab import Lab

__all__ = ["Places"]


class Places:
    """Every environment and the findings from it. Each environment runs once, when a test first asks for it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._found: dict[str, dict[str, Any]] = {}

    def found(self, name: str) -> dict[str, Any]:
        """Return the findings from the environment of that name."""
        if name not in self._found:
            self._found[name] = _find(self.lab, _named(name))
        return self._found[name]

    @property
    def complete(self) -> bool:
        """Whether every environment has run."""
        return len(self._found) == len(ENVIRONMENTS)

    def all_found(self) -> dict[str, dict[str, Any]]:
        """Return all findings, by the names of the environments."""
        return {environment.name: self.found(environment.name) for environment in ENVIRONMENTS}


def _named(name: str) -> Environment:
    return next(environment for environment in ENVIRONMENTS if environment.name == name)


def _find(lab: Lab, environment: Environment) -> dict[str, Any]:
    """Run everything in an environment and return the findings.

    :raises RuntimeError: the program inside did not print valid JSON
    """
    done = lab.run(environment, "{python}", "{share}/tests/support/containers/inside.py")
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"{environment.name}: exit code {done.returncode}\n{done.stdout}{done.stderr}") from None
    return found
