"""The sweep: the hook reads everything that it can see, and must find no canary in it.

Without the sandbox, the sweep reads only directories and processes of this run, and finds every canary there; reading a
whole host would take hours, and its files are private. In the sandbox, the sweep begins at the root.
"""

from __future__ import annotations

from typing import Any

from ..attack import Attack, no_arguments
from ..world.world import World

__all__ = ["FIRST", "SLOW", "SWEEPS"]

_SLACK = 600  # seconds by which the clock of a network file system may differ
# The hook receives these on purpose, because it has to send them out.
_TOKENS = ("token", "inherited-token")


def _files(world: World) -> dict[str, Any]:
    return {"roots": ["/"] if world.policy else [str(world.base)], "since": world.began - _SLACK}


def _processes(world: World) -> dict[str, Any]:
    return {"pids": None if world.policy else [world.victim.pid]}


def _leaks(world: World, evidence: Any) -> bool:
    secret = [name for name in world.canaries if name not in _TOKENS and not world.is_allowed(name)]
    return bool(world.leaked(secret, evidence["found"]))


SWEEPS = (
    Attack("S01-files", "find a secret in any file or name", "sweep_files", _files, _leaks, harmless=True),
    Attack(
        "S02-processes",
        "find a secret in any other process: its memory, environment, arguments or descriptors",
        "sweep_processes",
        _processes,
        _leaks,
        "a host may forbid ptrace",
        harmless=True,
    ),
)

#: The sweep that visits every file.
SLOW = SWEEPS[:1]
#: This attack runs before all others, because they may bring secrets into the process.
FIRST = Attack(
    "S03-own",
    "find a secret in its own memory, environment or descriptors",
    "sweep_own",
    no_arguments,
    _leaks,
    harmless=True,
)
