"""The sweep: whatever the hook can see, it reads, and no canary is in any of it.

Without the sandbox it is given only places that belong to the run, because a whole host would take hours and is
nobody's business: there every canary is found. Within the sandbox it begins at the root.
"""

from __future__ import annotations

from typing import Any

from ..attack import Attack, nothing
from ..world.world import World

__all__ = ["FIRST", "SLOW", "SWEEPS"]

_SLACK = 600  # seconds by which the clock of a filesystem over the network may differ
# What a hook is given on purpose: to send it out, so it has to know it.
_GIVEN = ("token", "inherited-token")


def _files(world: World) -> dict[str, Any]:
    return {"roots": ["/"] if world.policy else [str(world.base)], "since": world.began - _SLACK}


def _processes(world: World) -> dict[str, Any]:
    return {"pids": None if world.policy else [world.victim.pid]}


def _leaks(world: World, evidence: Any) -> bool:
    secret = [name for name in world.canaries if name not in _GIVEN and not world.gives(name)]
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

#: The one that walks over every file.
SLOW = SWEEPS[:1]
#: Tried before any other attack, that may bring secrets into the process.
FIRST = Attack(
    "S03-own",
    "find a secret in its own memory, environment or descriptors",
    "sweep_own",
    nothing,
    _leaks,
    harmless=True,
)
