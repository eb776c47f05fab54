"""pypa/build, with the hooks of a project and of its build requirements in sandboxes."""

from __future__ import annotations

from .environment import SandboxedEnv
from .frontend import check_takes_sdists, environments, own_error, parser, run, swapped

__all__ = ["SandboxedEnv", "check_takes_sdists", "environments", "own_error", "parser", "run", "swapped"]
